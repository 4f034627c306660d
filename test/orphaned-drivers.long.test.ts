/** What a dead front's drivers have started is gone before the next front opens the store (P4). */
import { strict as assert } from "node:assert";
import { readFileSync, rmSync } from "node:fs";
import { test } from "node:test";
import { processesOf } from "./leftovers.ts";
import { peer } from "./peers.ts";
import { isRunning } from "./processes.ts";
import { inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { until } from "./until.ts";

const BEATS_TIMEOUT_MS = 10_000;
const STORE_BYTES = 1 << 20;

/**
 * A driver with a child in a session of its own, which writes to what stands for the store for ever. Each line names its writer:
 * the child's mother, or "open" when an incarnation opens.
 */
const SPAWNING = `
import { appendFileSync } from "node:fs";
import { spawn } from "node:child_process";
export default {
  open({ log }) {
    appendFileSync(log, "open " + process.pid + "\\n");
    const beat = "while :; do echo beat " + process.pid + " >> " + log + "; done";
    spawn("/bin/sh", ["-c", beat], { detached: true, stdio: "ignore" }).unref();
    return { size: 1 << 20, read() {}, write() {}, flush() {} };
  },
};
`;

/** The same, whose child has nothing in its environment, and stays in the session, though in a group of its own. */
const WIPING = SPAWNING.replace(
  '["-c", beat], { detached: true, stdio: "ignore" }',
  '["-c", "exec bash -c \'set -m; (" + beat + ") & read -r nothing\'"], { env: {}, stdio: ["pipe", "ignore", "ignore"] }',
);

for (const [what, before] of [
  ["a front that is killed", () => {}],
  ["a front that is killed while its driver is suspended", (driver: number) => process.kill(driver, "SIGSTOP")],
] as const) {
  test(`what a driver has started, in a session of its own, writes nothing after ${what} once the next one opens`, () =>
    inScene(async (scene) => {
      const { front, spec, driver } = await serveSpawning(scene);
      before(driver);
      await front.end("SIGKILL");
      const next = await serve(scene, spec);
      await assertFenced(scene, driver);
      await next.stop();
      assertNothingLeft(scene);
    }));
}

test("what a driver has started without its mark, in its session, writes nothing after a front that is killed", () =>
  inScene(async (scene) => {
    const { front, spec, driver } = await serveSpawning(scene, WIPING);
    await front.end("SIGKILL");
    const next = await serve(scene, spec);
    await assertFenced(scene, driver);
    await next.stop();
    assertNothingLeft(scene);
  }));

test("what a driver has started, in a session of its own, writes nothing after it was killed once the next one opens", () =>
  inScene(async (scene) => {
    const { front, driver } = await serveSpawning(scene);
    await front.killDriver();
    await assertFenced(scene, driver);
    await front.stop();
    assertNothingLeft(scene);
  }));

test(
  "daemons of a server that a dead front has started are gone when the next one opens, without its guardian too",
  { skip: peer("nbdkit") },
  () =>
    inScene(async (scene) => {
      scene.write("disk.img", new Uint8Array(STORE_BYTES));
      const spec =
        "exec:(setsid sleep 611 &); setsid sh -c 'sleep 612 & wait' & exec nbdkit -f -U {socket} file disk.img";
      const front = await serve(scene, spec);
      const daemons = await until("its daemons", BEATS_TIMEOUT_MS, () => {
        const found = processesOf(scene.folder).filter(({ command }) => /^sleep 61[12]$/.test(command));
        return found.length === 2 ? found.map(({ pid }) => pid) : undefined;
      });
      for (const { pid, command } of processesOf(scene.folder))
        if (command.includes("skink-guardian")) process.kill(pid, "SIGKILL");
      const { pid } = (await front.device()).driver;
      await front.end("SIGKILL");
      assert.deepEqual(daemons.filter(isRunning), daemons);
      const next = await serve(scene, spec);
      assert.deepEqual([...daemons, pid as number].filter(isRunning), []);
      await next.stop();
      // Without a guardian nobody has removed what the dead one had.
      rmSync(scene.path("tmp"), { recursive: true });
      await scene.need("mkdir", [scene.path("tmp")]);
    }),
);

test("what drivers of other stores have started, and of other fronts that live, goes on", () =>
  inScene(async (scene) => {
    const { front, spec, driver } = await serveSpawning(scene);
    const strangers = ["a", "b"].map((name) => `${scene.write(`${name}.ts`, SPAWNING)}?log=${scene.path(name)}`);
    const devices = strangers.map((spec, index) => `{ name: stranger${index}, spec: '${spec}' }`);
    const config = scene.write("strangers.yaml", `devices: [${devices.join(", ")}]\n`);
    const living = await serve(scene, config, {
      devices: 2,
      ownListener: true,
      args: ["--socket", scene.path("living"), "--control", scene.path("living.control")],
    });
    const children = await until("their children", BEATS_TIMEOUT_MS, () => {
      const found = beatersIn(scene).filter(({ command }) =>
        strangers.some((_, index) => command.includes(scene.path("ab".charAt(index)))),
      );
      return found.length === 2 ? found.map(({ pid }) => pid) : undefined;
    });
    await front.end("SIGKILL");
    const next = await serve(scene, spec);
    await assertFenced(scene, driver);
    assert.deepEqual(children.filter(isRunning), children);
    await next.stop();
    await living.stop();
    assertNothingLeft(scene);
  }));

/** Serves such a driver; its child is writing. `driver`: its process. */
async function serveSpawning(
  scene: Scene,
  driverText = SPAWNING,
): Promise<{ front: Front; spec: string; driver: number }> {
  const spec = `${scene.write("spawning.ts", driverText)}?log=${scene.path("log")}`;
  const front = await serve(scene, spec);
  const { driver } = await front.device();
  await until("its child to write", BEATS_TIMEOUT_MS, () =>
    linesOf(scene).includes(`beat ${driver.pid}`) ? true : undefined,
  );
  return { front, spec, driver: driver.pid as number };
}

/** The newest incarnation writes, and nothing of the one before has written since it opened. */
async function assertFenced(scene: Scene, before: number): Promise<void> {
  const since = linesOf(scene).findLastIndex((line) => line.startsWith("open "));
  assert.notEqual(linesOf(scene)[since], `open ${before}`);
  const newest = linesOf(scene)[since]?.replace("open", "beat") as string;
  await until("the next one's child to write", BEATS_TIMEOUT_MS, () =>
    linesOf(scene).includes(newest) ? true : undefined,
  );
  assert.deepEqual(
    linesOf(scene)
      .slice(since)
      .filter((line) => line === `beat ${before}`),
    [],
  );
}

function assertNothingLeft(scene: Scene): void {
  assert.deepEqual(beatersIn(scene), []);
  for (const name of ["control", "nbd"]) rmSync(scene.path(name), { force: true });
}

function beatersIn(scene: Scene): { pid: number; command: string }[] {
  return processesOf(scene.folder).filter(({ command }) => command.includes("echo beat"));
}

function linesOf(scene: Scene): string[] {
  return readFileSync(scene.path("log"), "utf8").split("\n");
}
