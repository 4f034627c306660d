import { strict as assert } from "node:assert";
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { SeededRandom } from "../src/block/random.ts";
import { Load } from "./load.ts";
import type { Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { until } from "./until.ts";

const KILLS = 15;
const MAX_LIFE_MS = 120;
/** From the start of an incarnation: early enough to end it while it opens or replays. */
const MAX_EARLY_LIFE_MS = 60;
const NEW_PROCESS_TIMEOUT_MS = 10_000;

export interface StormOptions {
  /** KILLS if left out. */
  readonly kills?: number;
  /** Ends the driver with that process: by SIGKILL if left out. */
  readonly end?: (pid: number, random: SeededRandom) => void;
}

/** Kills the drivers of a disk under load, and checks all of it. The front is stopped in the end. */
export async function storm(scene: Scene, spec: string, options: StormOptions = {}): Promise<Load> {
  return await withSeed(`a storm over ${spec}`, async (seed) => {
    const front = await serve(scene, spec);
    const { kills = KILLS } = options;
    const load = await Load.start(scene, front.uri, seed);
    await kill(front, new SeededRandom(seed + 1), { ...options, kills, isOver: () => load.hasFailed });
    await load.stop();
    await load.readAll();
    await front.killDriver();
    await load.readAll();
    await load.close();
    const { counters, restarts } = await front.device();
    assert.equal(counters.errors, 0);
    assert.equal(restarts, kills + 1);
    await front.stop();
    return load;
  });
}

/** SKINK_STORM_SEED makes the same choices again; the machine's timing is another each time. */
export async function withSeed<Result>(what: string, body: (seed: number) => Promise<Result>): Promise<Result> {
  const seed = Number(process.env.SKINK_STORM_SEED ?? randomInt(2 ** 31));
  try {
    return await body(seed);
  } catch (error) {
    throw new Error(`In ${what} with SKINK_STORM_SEED=${seed}: ${error}`, { cause: error });
  }
}

/** Kills incarnations at any time of their lives. Of those that are not live yet, at most two in a row. */
export async function kill(
  front: Front,
  random: SeededRandom,
  { kills = KILLS, end = killProcess, isOver }: StormOptions & { readonly isOver: () => boolean },
): Promise<void> {
  let killed: number | null = null;
  let early = 0;
  for (let count = 0; count < kills && !isOver(); count++) {
    const isEarly = early < 2 && random.below(3) === 0;
    const pid: number = await until("the next incarnation", NEW_PROCESS_TIMEOUT_MS, async () => {
      const { state, driver } = await front.device();
      const isReady = driver.pid !== null && driver.pid !== killed && (isEarly || state === "live");
      return isReady ? (driver.pid ?? undefined) : undefined;
    });
    await sleep(random.below(isEarly ? MAX_EARLY_LIFE_MS : MAX_LIFE_MS));
    end(pid, random);
    early = isEarly ? early + 1 : 0;
    killed = pid;
  }
  await front.until("live");
}

function killProcess(pid: number): void {
  process.kill(pid, "SIGKILL");
}
