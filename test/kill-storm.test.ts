import { strict as assert } from "node:assert";
import { randomInt } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DISK_BYTES, Load, type Random, seededRandom } from "./load.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { until } from "./until.ts";

const KILLS = 25;
const MAX_LIFE_MS = 120;
/** From the start of an incarnation: early enough to end it while it opens or replays. */
const MAX_EARLY_LIFE_MS = 60;
const NEW_PROCESS_TIMEOUT_MS = 10_000;
const POWER_CUTS = 3;
const KILLS_BEFORE_POWER_CUT = 3;

test("a storm of kills loses nothing of a memory disk", () =>
  inScene(async (scene) => {
    await storm(scene, `memory:${DISK_BYTES}`);
  }));

test("a storm of kills loses nothing of a volatile disk", () =>
  inScene(async (scene) => {
    await storm(scene, `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}`);
  }));

test("a storm of kills loses nothing of a file, which holds everything after the stop", () =>
  inScene(async (scene) => {
    const file = scene.path("disk.img");
    const { history } = await storm(scene, `file:${file}?size=${DISK_BYTES}`);
    history.endRead(history.beginRead(), 0, Uint8Array.from(readFileSync(file)));
  }));

test("a stop makes durable what a volatile disk held back", () =>
  inScene(async (scene) => {
    const file = scene.path("disk.img");
    const { history } = await storm(scene, `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}&path=${file}`);
    history.endRead(history.beginRead(), 0, Uint8Array.from(readFileSync(file)));
  }));

test("what was flushed is on the medium when front and driver are killed together", () =>
  inScene(async (scene) => {
    // A front that is killed can't remove its sockets; the next one replaces them.
    scene.defer(() => {
      for (const name of ["control", "nbd"]) rmSync(scene.path(name), { force: true });
    });
    for (let round = 0; round < POWER_CUTS; round++) {
      await withSeed("a power cut", async (seed) => {
        const file = scene.path(`disk-${round}.img`);
        const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}&path=${file}`);
        const load = await Load.start(scene, front.uri, seededRandom(seed));
        await kill(front, seededRandom(seed + 1), KILLS_BEFORE_POWER_CUT, () => load.hasFailed);
        await front.end("SIGKILL");
        await load.stopWithoutServer();
        await until("the driver to go", NEW_PROCESS_TIMEOUT_MS, async () =>
          (await scene.leftovers(0)).some((line) => line.startsWith("process")) ? undefined : true,
        );
        load.checkMedium(Uint8Array.from(readFileSync(file)));
      });
    }
  }));

/** Kills the drivers of a disk under load, and checks all of it. */
async function storm(scene: Scene, spec: string): Promise<Load> {
  return await withSeed(`a storm over ${spec}`, async (seed) => {
    const front = await serve(scene, spec);
    const load = await Load.start(scene, front.uri, seededRandom(seed));
    await kill(front, seededRandom(seed + 1), KILLS, () => load.hasFailed);
    await load.stop();
    await load.readAll();
    await front.killDriver();
    await load.readAll();
    await load.close();
    const { counters, restarts } = await front.device();
    assert.equal(counters.errors, 0);
    assert.equal(restarts, KILLS + 1);
    await front.stop();
    return load;
  });
}

/** SKINK_STORM_SEED makes the same choices again; the machine's timing is another each time. */
async function withSeed<Result>(what: string, body: (seed: number) => Promise<Result>): Promise<Result> {
  const seed = Number(process.env.SKINK_STORM_SEED ?? randomInt(2 ** 31));
  try {
    return await body(seed);
  } catch (error) {
    throw new Error(`In ${what} with SKINK_STORM_SEED=${seed}: ${error}`, { cause: error });
  }
}

/** Kills incarnations at any time of their lives. Of those that are not live yet, at most two in a row. */
async function kill(front: Front, random: Random, kills: number, isOver: () => boolean): Promise<void> {
  let killed: number | null = null;
  let early = 0;
  for (let count = 0; count < kills && !isOver(); count++) {
    const isEarly = early < 2 && random(3) === 0;
    const pid: number = await until("the next incarnation", NEW_PROCESS_TIMEOUT_MS, async () => {
      const { state, driver } = await front.device();
      const isReady = driver.pid !== null && driver.pid !== killed && (isEarly || state === "live");
      return isReady ? (driver.pid ?? undefined) : undefined;
    });
    await sleep(random(isEarly ? MAX_EARLY_LIFE_MS : MAX_LIFE_MS));
    process.kill(pid, "SIGKILL");
    early = isEarly ? early + 1 : 0;
    killed = pid;
  }
  await front.until("live");
}
