/**
 * A busy machine, and a store that has become slow, are no sick drivers: nobody is found to be at fault.
 * SKINK_LONG_SECONDS makes it longer than the few seconds of npm test: npm run soak:judge does.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventsSoFar } from "./front-events.ts";
import { Lanes } from "./lanes.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { SickDisk } from "./sick-disk.ts";

const DEFAULT_SECONDS = 8;
const HOGS = 8;
const DISK = "size=4M";
/** Of a store whose latency goes from 1 ms to 100 ms, and back. */
const STEP_MS = 2500;
const FRONT_STOP_MS = 3000;
const FRONT_STOPS_EVERY_MS = 60_000;

const runMs = Number(process.env.SKINK_LONG_SECONDS ?? DEFAULT_SECONDS) * 1000;

test(`with ${HOGS} CPU hogs, a store a hundred times slower, and a front stopped for a while, nobody is at fault`, () =>
  inScene(async (scene) => {
    const [one, many] = ["one", "many"].map((name) => new SickDisk(scene, name, DISK)) as [SickDisk, SickDisk];
    const devices = {
      memory: { spec: "memory:4M", depth: 16 },
      file: { spec: `file:${scene.path("disk.img")}?${DISK}`, depth: 16 },
      volatile: { spec: `${EXAMPLES}/volatile.ts?${DISK}`, depth: 16 },
      [one.name]: { spec: one.spec, depth: 1 },
      [many.name]: { spec: many.spec, depth: 16 },
    };
    const names = Object.keys(devices);
    const lines = Object.entries(devices).map(
      ([name, { spec }]) => `  - { name: ${name}, spec: ${JSON.stringify(spec)} }`,
    );
    const config = scene.write("skink.yaml", ["devices:", ...lines, ""].join("\n"));
    const front = await serve(scene, config, { devices: names.length });
    const lanes = await Promise.all(
      front.ready.map(({ name, uri }) => Lanes.start(scene, uri, devices[name]?.depth ?? 1)),
    );
    for (let count = 0; count < HOGS; count++) scene.spawn("sh", ["-c", "while :; do :; done"]);

    const until = performance.now() + runMs;
    let frontStopAt = performance.now() + Math.min(runMs / 2, FRONT_STOPS_EVERY_MS);
    for (let isSlow = true; performance.now() < until; isSlow = !isSlow) {
      for (const disk of [one, many]) await disk.orderOnce(front, isSlow ? "now slow" : "now well");
      await sleep(STEP_MS);
      if (performance.now() >= frontStopAt) {
        await stopFront(front);
        frontStopAt += FRONT_STOPS_EVERY_MS;
      }
      await assertNoFault(front, names);
    }
    for (const each of lanes) await each.stop();
    await assertNoFault(front, names);
    await front.stop();
  }));

/** As when a machine's memory is swapped out, or its lid closed: time passes for everybody but the front. */
async function stopFront(front: Front): Promise<void> {
  process.kill(front.pid, "SIGSTOP");
  await sleep(FRONT_STOP_MS);
  process.kill(front.pid, "SIGCONT");
}

async function assertNoFault(front: Front, names: readonly string[]): Promise<void> {
  const faults = (await eventsSoFar(front)).filter(({ type }) => type === "fault");
  assert.deepEqual(faults, []);
  for (const name of names) {
    const { counters, restarts } = await front.device(name);
    assert.deepEqual([counters.errors, restarts], [0, 0]);
    assert.deepEqual([...new Set(Object.values(counters.faults))], [0]);
  }
}
