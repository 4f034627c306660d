import { strict as assert } from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import { SeededRandom } from "../src/block/random.ts";
import { Load } from "./load.ts";
import { guarded, type OutlivingHome } from "./reconnect-home.ts";
import { endFront, FRONT_DEATHS, frontOf, type Killed, killBehind } from "./reconnect-kill.ts";
import type { Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { withSeed } from "./storm.ts";

const MAX_LIFE_MS = 200;
/** From the start of a front: early enough to end it while it takes up its home, opens or replays. */
const MAX_EARLY_LIFE_MS = 400;
/** Of fronts that die early, so many in a row at most: the guard waits longer from one to the next. */
const MAX_EARLY_IN_ROW = 2;
const CHOICES: readonly Killed[] = ["server", "server", ...FRONT_DEATHS];
/** The guard brings a server back, however long that takes; the time limit is the load's. */
const RECONNECT = { reconnect: { attempts: Number.POSITIVE_INFINITY, delayMs: 10, maxDelayMs: 200 } };

export interface FrontStormOptions {
  readonly home: OutlivingHome;
  readonly seconds: number;
}

/** How many died. Where both did, each counts. */
export interface Deaths {
  fronts: number;
  servers: number;
  /** Of the fronts, those that had not yet served. */
  early: number;
}

/**
 * Kills front and driver of a guarded disk of DISK_BYTES at random, singly and together, under clients that reconnect: they check
 * what they read all the time, and all of it in the end. The front is stopped then.
 */
export async function frontStorm(
  scene: Scene,
  spec: string,
  { home, seconds }: FrontStormOptions,
): Promise<{ readonly load: Load; readonly deaths: Deaths }> {
  return await withSeed(`a storm over ${spec} and its front, home ${home}`, async (seed) => {
    const guard = await serve(scene, spec, { args: guarded(scene, home) });
    const load = await Load.start(scene, guard.uri, seed, { client: RECONNECT });
    const deaths = await killAtRandom(guard, new SeededRandom(seed + 1), { seconds, isOver: () => load.hasFailed });
    await load.stop();
    await load.readAll();
    await killBehind(guard, "both at once");
    await load.readAll();
    await load.close();
    assert.equal((await guard.until("live")).counters.errors, 0);
    await guard.stop();
    return { load, deaths };
  });
}

/** Kills for so many seconds, and until front and server have died both. The device is live in the end. */
export async function killAtRandom(
  guard: Front,
  random: SeededRandom,
  { seconds, isOver }: { readonly seconds: number; readonly isOver: () => boolean },
): Promise<Deaths> {
  const deaths: Deaths = { fronts: 0, servers: 0, early: 0 };
  const until = performance.now() + seconds * 1000;
  let earlyInRow = 0;
  const isEnough = () => performance.now() >= until && deaths.fronts > 0 && deaths.servers > 0;
  while (!isEnough() && !isOver()) {
    if (deaths.fronts > 0 && earlyInRow < MAX_EARLY_IN_ROW && random.below(3) === 0) {
      const front = await frontOf(guard);
      await sleep(random.below(MAX_EARLY_LIFE_MS));
      await endFront(front);
      earlyInRow++;
      deaths.early++;
      deaths.fronts++;
    } else {
      await guard.until("live");
      await sleep(random.below(MAX_LIFE_MS));
      const killed = CHOICES[random.below(CHOICES.length)] as Killed;
      await killBehind(guard, killed);
      earlyInRow = 0;
      deaths.fronts += killed === "server" ? 0 : 1;
      deaths.servers += killed === "front" ? 0 : 1;
    }
  }
  await guard.until("live");
  return deaths;
}
