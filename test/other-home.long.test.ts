/** What a dead front has left in a log is neither passed over nor forgotten in silence: real processes. */
import { strict as assert } from "node:assert";
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { clientOf } from "./foreign.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";

const LOG_SIZE = "96M";
const BYTES = 4096;

test("a store whose front died with a log is served with that log alone, until an orderly stop", () =>
  inScene(async (scene) => {
    await dieWith(scene, 1);
    for (const home of [[], ["--home", `disk:b.log?size=${LOG_SIZE}`]]) {
      const said = await refused(scene, home);
      assert.match(
        said,
        /^Cannot serve volatile: an earlier front that died has kept its shadow in disk:\S+a\.log, which may/,
      );
      assert.deepEqual(lockFiles(said).map(existsSync), [true]);
    }
    assert.equal(existsSync(scene.path("b.log")), false);
    const next = await serve(scene, volatile(scene), { args: logged("a.log") });
    assert.equal(await valueIn(scene, next), 1);
    await write(scene, next, 2);
    await next.stop();
    const plain = await serve(scene, volatile(scene));
    assert.equal(await valueIn(scene, plain), 2);
    await plain.stop();
  }));

test("what a dead front has left is given up by removing its records: of the module, then of what that calls its store", () =>
  inScene(async (scene) => {
    await dieWith(scene, 1);
    for (let names = 0; names < 2; names++) {
      for (const path of lockFiles(await refused(scene, []))) rmSync(path);
    }
    const plain = await serve(scene, volatile(scene));
    assert.equal(await valueIn(scene, plain), 0);
    await plain.stop();
  }));

for (const [what, lose] of [
  ["is gone", () => {}],
  ["is empty", (path: string) => writeFileSync(path, "")],
  ["has only zeroes", (path: string) => writeFileSync(path, new Uint8Array(96 << 20))],
] as const) {
  test(`a log that ${what} since its front died is not made anew, until its record is removed`, () =>
    inScene(async (scene) => {
      await dieWith(scene, 1);
      const [log, saved] = [scene.path("a.log"), scene.path("saved.log")];
      renameSync(log, saved);
      lose(log);
      let said = "";
      for (let tries = 0; tries < 2; tries++) {
        said = await refused(scene, logged("a.log"));
        assert.match(
          said,
          /^Cannot open the log \S+a\.log: (it isn't there any more|there is nothing in it), what an earlier/,
        );
      }
      renameSync(saved, log);
      const next = await serve(scene, volatile(scene), { args: logged("a.log") });
      assert.equal(await valueIn(scene, next), 1);
      await write(scene, next, 2);
      await next.end("SIGKILL");
      rmSync(log);
      for (const path of lockFiles(said)) rmSync(path);
      const anew = await serve(scene, volatile(scene), { args: logged("a.log") });
      await anew.logs(/makes a new log, \S+a\.log/);
      await anew.stop();
    }));
}

/** Writes, and is killed: the log alone has it. */
async function dieWith(scene: Scene, value: number): Promise<void> {
  const front = await serve(scene, volatile(scene), { args: logged("a.log") });
  await write(scene, front, value);
  await front.end("SIGKILL");
}

async function write(scene: Scene, front: Front, value: number): Promise<void> {
  const client = await clientOf(scene, front);
  await client.write(0, new Uint8Array(BYTES).fill(value));
  client.destroy();
}

async function valueIn(scene: Scene, front: Front): Promise<number | undefined> {
  const client = await clientOf(scene, front);
  const [value] = await client.read(0, BYTES);
  client.destroy();
  return value;
}

/** Starts a front that has to be refused. Returns what it says. */
async function refused(scene: Scene, args: readonly string[]): Promise<string> {
  const sockets = ["--socket", scene.path("late.nbd"), "--control", scene.path("late.control"), "--log-level", "error"];
  const { code, stderr } = await scene.skink("serve", volatile(scene), ...sockets, ...args);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^[^\n]+\n$/);
  return stderr;
}

/** Those that it says may be removed. */
function lockFiles(said: string): string[] {
  const folder = "/skink/locks/";
  return said.split(/[\s,]+/).filter((word) => word.includes(folder) && word.endsWith(".lock"));
}

function logged(name: string): string[] {
  return ["--home", `disk:${name}?size=${LOG_SIZE}`];
}

function volatile(scene: Scene): string {
  return `${join(EXAMPLES, "volatile.ts")}?size=8M&path=${scene.path("disk.img")}`;
}
