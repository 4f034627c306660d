import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { askFront } from "../src/front/control-client.ts";
import { NbdClient, parseUri } from "../src/nbd/index.ts";
import { isRunning } from "./processes.ts";
import { EXAMPLES, inScene, SKINK } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { until } from "./until.ts";

const READY_TIMEOUT_MS = 20_000;
const KILLS = 2;

for (const [what, args] of [
  ["a unix socket", undefined],
  ["a TCP port of the machine's choice", ["--port", "0"]],
  ["a socket that nobody chose", []],
] as const) {
  test(`a client that reconnects finds the next front where the last one was, and no one is refused: ${what}`, () =>
    inScene(async (scene) => {
      const ownListener = args !== undefined;
      const front = await serve(scene, "memory:8M", { args: ["--guard", ...(args ?? [])], ownListener });
      const client = await NbdClient.connect(front.uri, { reconnect: {} });
      const pids = new Set([frontOf(front)]);
      for (let kill = 1; kill <= KILLS; kill++) {
        process.kill(frontOf(front), "SIGKILL");
        // It waits for the front to come; without reconnecting, so that being refused would be an error.
        const newcomer = await NbdClient.connect(front.uri, { timeoutMs: READY_TIMEOUT_MS });
        await newcomer.write(0, new Uint8Array(512).fill(kill));
        assert.deepEqual(await client.read(0, 512), new Uint8Array(512).fill(kill));
        await newcomer.close();
        pids.add(frontOf(front));
      }
      assert.equal(pids.size, KILLS + 1);
      assert.equal(new Set(front.ready.map(({ uri }) => uri)).size, 1);
      assert.equal((await front.device()).state, "live");
      await client.close();
      const { address } = parseUri(front.uri);
      const { stderr } = await front.stop();
      assert.equal(stderr.match(/guard: the front was ended by SIGKILL/g)?.length, KILLS);
      if ("path" in address) assert.equal(existsSync(address.path), false);
      assert.equal(existsSync(front.control), false);
      assert.deepEqual(await scene.leftovers(), []);
    }));
}

test("commands find a guarded front where they found the last one", () =>
  inScene(async (scene) => {
    const guard = scene.skink("serve", "memory:1M", "--guard");
    const status = await until("the front to be found", READY_TIMEOUT_MS, async () => {
      const { code, stdout } = await scene.skink("status", "--json");
      return code === 0 && stdout.includes('"live"') ? stdout : undefined;
    });
    assert.match(status, /"memory"/);
    assert.equal((await scene.skink("stop")).code, 0);
    assert.equal((await guard).code, 0);
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("a guard that is killed takes its front along, which stops in order: what was acknowledged is durable", () =>
  inScene(async (scene) => {
    const image = scene.path("disk.img");
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=8M&path=${image}`, { args: ["--guard"] });
    const client = await NbdClient.connect(front.uri);
    const data = new Uint8Array(4096).fill(7);
    await client.write(8192, data);
    const pid = frontOf(front);
    process.kill(front.pid, "SIGKILL");
    await until("the front to end", READY_TIMEOUT_MS, () => (isRunning(pid) ? undefined : true));
    assert.deepEqual(Uint8Array.from(readFileSync(image).subarray(8192, 8192 + 4096)), data);
    assert.deepEqual(await scene.leftovers(), []);
    client.destroy();
  }));

test("a front whose guard is gone before it has begun doesn't begin", () =>
  inScene(async (scene) => {
    const gone = "1073741824";
    const { code, stderr } = await scene.run("env", [
      `SKINK_GUARD=${gone}`,
      process.execPath,
      SKINK,
      "serve",
      "null:1M",
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot serve under guard 1073741824: it is gone, a living one was wanted\n$/);
  }));

test("what a front says to bad usage and to --help is what its guard says", () =>
  inScene(async (scene) => {
    const bad = await scene.skink("serve", "--guard", "nonsense:1");
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /^Cannot [^\n]+\n$/);
    const help = await scene.skink("serve", "--guard", "--help");
    assert.equal(help.code, 0);
    assert.match(help.stdout, /--guard/);
    const failed = await scene.skink("serve", "--guard", `file:${scene.path("none/disk.img")}`);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /^Cannot open [^\n]+\n$/);
  }));

test("a front that is stopped over its control socket ends its guard, well", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M", { args: ["--guard"] });
    await askFront(front.control, { command: "stop" });
    assert.equal((await front.ended).code, 0);
    assert.deepEqual(await scene.leftovers(), []);
  }));

/** The front that a guard runs now. */
function frontOf(guard: Front): number {
  const children = readFileSync(`/proc/${guard.pid}/task/${guard.pid}/children`, "latin1");
  return Number(children.trim().split(" ")[0]);
}
