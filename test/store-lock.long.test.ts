/** Two fronts never serve one store: real processes, at once. */
import { strict as assert } from "node:assert";
import { linkSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ended, inScene, type Scene, SKINK } from "./scene.ts";
import { Front, serve } from "./serve.ts";
import { until } from "./until.ts";

const RACERS = 8;
const ROUNDS = 3;
const HEIRS = 4;
const RACE_TIMEOUT_MS = 60_000;
const STORE_BYTES = 1 << 20;

test("of eight fronts that want one store at once exactly one gets it, and the others name it", () =>
  inScene(async (scene) => {
    for (let round = 0; round < ROUNDS; round++) {
      // Every other round it is yet to be made.
      if (round % 2 === 0) rmSync(scene.path("disk.img"), { force: true });
      const winner = await race(scene, RACERS, round % 2 === 0 ? `file:disk.img?size=${STORE_BYTES}` : "file:disk.img");
      await winner.stop();
      assert.deepEqual(locksIn(scene), []);
    }
  }));

test("a front that is killed is followed by exactly one of those that wait for it", () =>
  inScene(async (scene) => {
    scene.write("disk.img", new Uint8Array(STORE_BYTES));
    const holder = await serve(scene, "file:disk.img");
    const { epoch } = await holder.device();
    const killed = holder.end("SIGKILL");
    const winner = await race(scene, HEIRS, "file:disk.img");
    await killed;
    assert.ok((await winner.device()).epoch > epoch);
    await winner.stop();
    assert.deepEqual(locksIn(scene), []);
    for (const name of ["control", "nbd"]) rmSync(scene.path(name), { force: true });
  }));

for (const [what, make] of [
  ["by a symbolic link", (scene: Scene) => symlinkSync("disk.img", scene.path("other.img"))],
  ["by another name of its inode", (scene: Scene) => linkSync(scene.path("disk.img"), scene.path("other.img"))],
] as const) {
  test(`a store that is served is refused ${what}`, () =>
    inScene(async (scene) => {
      scene.write("disk.img", new Uint8Array(STORE_BYTES));
      make(scene);
      const front = await serve(scene, "file:disk.img", { args: ["--name", "first"] });
      assertRefused(await scene.skink("serve", "file:other.img", ...sockets(scene, "late")), front.pid, "first");
      await front.stop();
    }));
}

test("two devices of one front don't serve one store", () =>
  inScene(async (scene) => {
    scene.write("disk.img", new Uint8Array(STORE_BYTES));
    const config = scene.write(
      "skink.yaml",
      "devices: [{ name: one, spec: 'file:disk.img' }, { name: two, spec: 'file:./disk.img' }]\n",
    );
    const { code, stderr } = await scene.skink("serve", config, ...sockets(scene, "late"), "--log-level", "error");
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^Cannot serve (one|two): its store \(file:\S+disk.img\) is served by device "(?!\1)(one|two)" of this front /m,
    );
    assert.deepEqual(locksIn(scene), []);
  }));

/** Two names of one store, as only the drivers know. */
const NAMED =
  "export default { open: () => ({ size: 1 << 20, identity: 'the store', read() {}, write() {}, flush() {} }) };";

test("a store that has two names is found by what its driver calls it, before it is served", () =>
  inScene(async (scene) => {
    const front = await serve(scene, scene.write("one.ts", NAMED));
    const late = await scene.skink("serve", scene.write("two.ts", NAMED), ...sockets(scene, "late"));
    assertRefused(late, front.pid, "one");
    assert.equal(late.stdout, "");
    await front.killDriver();
    await front.stop();
    assert.deepEqual(locksIn(scene), []);
  }));

test("an upgrade to a store that another front serves is refused, and changes nothing", () =>
  inScene(async (scene) => {
    for (const name of ["a.img", "b.img"]) scene.write(name, new Uint8Array(STORE_BYTES));
    const front = await serve(scene, "file:a.img");
    const other = start(scene, "other", "file:b.img");
    await ready(other);
    const { epoch } = await front.device();
    const { code, stderr } = await scene.skink("upgrade", front.name, "file:b.img", "--control", front.control);
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`^Cannot upgrade file: its store \\(file:\\S+b.img\\) is served by .* pid ${other.pid} `),
    );
    assert.equal((await front.device()).epoch, epoch);
    await other.stop();
    await front.stop();
  }));

test("stores that are said to be shared are served by many", () =>
  inScene(async (scene) => {
    const spec = scene.write("driver.ts", "export default { open: () => ({ size: 1 << 20, read() {} }) };");
    const fronts = ["a", "b"].map((name) => start(scene, name, spec, "--shared"));
    for (const front of fronts) await ready(front);
    for (const front of fronts) await front.stop();
  }));

/** Starts so many fronts of one store. One gets ready, all others are refused and name it. */
async function race(scene: Scene, count: number, spec: string): Promise<Front> {
  const fronts = Array.from({ length: count }, (_, index) => start(scene, `racer${index}`, spec));
  await until("all but one to end", RACE_TIMEOUT_MS, () => {
    const left = fronts.filter((front) => !front.hasEnded);
    return left.length === 0 || (left.length === 1 && (left[0] as Front).ready.length === 1) ? true : undefined;
  });
  const [winner, ...others] = fronts.filter((front) => !front.hasEnded);
  assert.ok(winner !== undefined, `nobody got it: ${fronts.map(({ stderr }) => stderr).join("")}`);
  assert.equal(others.length, 0);
  for (const front of fronts) if (front !== winner) assertRefused(await front.ended, winner.pid, "file");
  return winner;
}

function start(scene: Scene, name: string, spec: string, ...args: string[]): Front {
  const child = scene.spawn(process.execPath, [SKINK, "serve", spec, ...sockets(scene, name), ...args]);
  return new Front(child, scene.path(`${name}.control`));
}

async function ready(front: Front): Promise<void> {
  await until("it to be ready", RACE_TIMEOUT_MS, () => {
    assert.equal(front.hasEnded, false, front.stderr);
    return front.ready.length > 0 ? true : undefined;
  });
}

function sockets(scene: Scene, name: string): string[] {
  return ["--socket", scene.path(`${name}.nbd`), "--control", scene.path(`${name}.control`)];
}

function assertRefused({ code, stderr }: Awaited<ReturnType<typeof ended>>, pid: number, device: string): void {
  assert.equal(code, 1, stderr);
  assert.match(
    stderr,
    new RegExp(
      `^Cannot serve \\w+: its store \\(\\S+\\) is served by device "${device}" of the front with pid ${pid} ` +
        `\\(epoch \\d+, since \\d\\d:\\d\\d:\\d\\d\\), it alone was wanted: [^\\n]+\\n$`,
    ),
  );
}

function locksIn(scene: Scene): string[] {
  return readdirSync(join(scene.path("run"), "skink/locks"));
}
