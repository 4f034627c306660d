import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { NbdClient } from "../src/nbd/index.ts";
import { GUARD_DEATH_SIGNAL } from "../src/service/guard-death.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { EXAMPLES, inScene, type Scene, SKINK } from "./scene.ts";
import { Front, type ServeOptions, serve, startServing } from "./serve.ts";
import { until, within } from "./until.ts";

const TIMEOUT_MS = 20_000;
const SIZE = 8 << 20;
const DATA = new Uint8Array(4096).fill(7);
const OFFSET = 8192;

test("a guard's death is told once for each of its threads, and means one orderly stop", () =>
  inScene(async (scene) => {
    const { front, client, flushing } = await serveSlowly(scene, { args: ["--guard", "--home", "shm"] });
    const pid = frontOf(front);
    process.kill(front.pid, "SIGKILL");
    await until("the flush", TIMEOUT_MS, flushing);
    process.kill(pid, GUARD_DEATH_SIGNAL);
    await until("the front to end", TIMEOUT_MS, () => (isRunning(pid) ? undefined : true));
    assert.doesNotMatch(front.stderr, /Cannot stop cleanly/);
    assertStored(scene);
    client.destroy();
  }));

test("a front that is killed while it flushes for a stop is followed by one that does so", () =>
  inScene(async (scene) => {
    const { front, client, flushing } = await serveSlowly(scene, { args: ["--guard", "--home", "shm"] });
    process.kill(front.pid, "SIGTERM");
    await until("the flush", TIMEOUT_MS, flushing);
    process.kill(frontOf(front), "SIGKILL");
    const { code, stderr } = await within("the guard's end", TIMEOUT_MS, front.ended);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /guard: the front was ended by SIGKILL .* and stops when it is ready\n/);
    assertStored(scene);
    client.destroy();
    assert.deepEqual(await scene.leftovers(), []);
  }));

for (const [what, redirection] of [
  ["is a full disk", "2>/dev/full"],
  ["goes to a reader that has gone", "2> >(exit 0)"],
] as const) {
  test(`a guard whose stderr ${what} goes on`, () =>
    inScene(async (scene) => {
      const args = ["serve", "memory:8M", "--guard", "--home", "shm", "--control", scene.path("control")];
      const command = `exec "$@" ${redirection}`;
      const child = scene.spawn("bash", ["-c", command, "bash", process.execPath, SKINK, ...args]);
      const front = new Front(child, scene.path("control"));
      scene.defer(() => front.end("SIGTERM"));
      await until("the front to be ready", TIMEOUT_MS, () => (front.ready.length === 1 ? true : undefined));
      const client = await NbdClient.connect(front.uri, { reconnect: {} });
      await client.write(OFFSET, DATA);
      process.kill(frontOf(front), "SIGKILL");
      assert.deepEqual(await client.read(OFFSET, DATA.length), DATA);
      await client.close();
      await front.stop();
    }));
}

test("a shadow in shm that the guard can't keep is not served", () =>
  inScene(async (scene) => {
    const front = startServing(scene, "memory:8M", { args: ["--guard", "--home", "shm"] });
    await fillUp(scene, front);
    const { code, stderr } = await within("the guard's end", TIMEOUT_MS, front.ended);
    assert.equal(code, 1);
    assert.match(stderr, /Cannot keep the shadow of memory in shm: it could not be stored for the next front, --guard/);
    assert.deepEqual(front.ready, []);
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("kept memory and sockets that the guard can't keep are served, with a warning", () =>
  inScene(async (scene) => {
    const front = startServing(scene, "memory:8M", { args: ["--guard"] });
    await fillUp(scene, front);
    await until("the front to be ready", TIMEOUT_MS, () => (front.ready.length === 1 ? true : undefined));
    for (const name of ["control", "nbd", "kept"]) {
      await front.logs(new RegExp(`the service manager does not keep skink/${name}/\\S+ for the next front`));
    }
    await front.stop();
  }));

test("a guard that stands still doesn't hold up a stop", () =>
  inScene(async (scene) => {
    const names = ["a", "b", "c", "d"];
    const devices = names.map(
      (name) => `  - { name: ${name}, spec: "memory:1M", home: shm, limits: { writeBytes: 64M } }`,
    );
    const config = scene.write("skink.yaml", `devices:\n${devices.join("\n")}\n`);
    const front = await serve(scene, config, { args: ["--guard"], devices: names.length });
    const pid = frontOf(front);
    process.kill(front.pid, "SIGSTOP");
    scene.defer(() => isRunning(front.pid) && process.kill(front.pid, "SIGCONT"));
    const start = performance.now();
    process.kill(pid, "SIGTERM");
    await until("the front to end", TIMEOUT_MS, () => (isRunning(pid) ? undefined : true));
    const took = performance.now() - start;
    assert.ok(took < 4000, `${took} ms`);
    process.kill(front.pid, "SIGCONT");
    assert.equal((await front.ended).code, 0);
  }));

/** A driver whose cache takes long to flush, and something in it. */
async function serveSlowly(scene: Scene, options: ServeOptions) {
  const flushing = scene.path("flushing");
  const driver = scene.write(
    "slow.ts",
    `import { existsSync, writeFileSync } from "node:fs";
    import { setTimeout as delay } from "node:timers/promises";
    import volatile from "${EXAMPLES}/volatile.ts";
    export default {
      ...volatile,
      open(options, context) {
        const driver = volatile.open(options, context);
        return {
          ...driver,
          async flush() {
            if (!existsSync("${flushing}")) {
              writeFileSync("${flushing}", "");
              await delay(250);
            }
            await driver.flush();
          },
        };
      },
    };`,
  );
  const front = await serve(scene, `${driver}?size=${SIZE}&path=${scene.path("disk.img")}`, options);
  const client = await NbdClient.connect(front.uri);
  await client.write(OFFSET, DATA);
  const isFlushing = (): true | undefined => (readdirSync(scene.folder).includes("flushing") ? true : undefined);
  return { front, client, flushing: isFlushing };
}

function assertStored(scene: Scene): void {
  const stored = readFileSync(scene.path("disk.img")).subarray(OFFSET, OFFSET + DATA.length);
  assert.deepEqual(Uint8Array.from(stored), DATA);
}

/** Leaves the guard no descriptor more than it has, as soon as its front is there. */
async function fillUp(scene: Scene, guard: Front): Promise<void> {
  await until("the front to be there", TIMEOUT_MS, () => (frontOf(guard) > 0 ? true : undefined));
  // The first four are in use in any Node.
  await scene.need("prlimit", ["--pid", String(guard.pid), "--nofile=4:4096"]);
}

/** The front that a guard runs now; 0 while there is none. */
function frontOf(guard: Front): number {
  return childrenOf(guard.pid)[0] ?? 0;
}
