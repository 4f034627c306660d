import { ZEROES } from "../content.ts";
import type { Promised } from "./ledger.ts";
import { SECTORS, type Step } from "./scripts.ts";
import { Sectors } from "./sectors.ts";
import { type Build, profileOf, type Setting } from "./setting.ts";
import type { Fate } from "./small-driver.ts";
import { newHome, type Remnant, type SmallHome } from "./small-home.ts";
import { type Rests, SmallStore } from "./small-store.ts";
import { SmallWorld, type SmallWorldPorts } from "./small-world.ts";
import { ANY_REST } from "./verdict.ts";

export interface Play extends Setting {
  readonly script: readonly Step[];
}

type Choose = (of: number) => number;

/** What was read, sector by sector: ids of content.ts, or {@link ANY_REST}. */
export interface Outcome {
  readonly found: readonly number[];
  /** After another death of the driver, and of all that it has not flushed. */
  readonly again: readonly number[];
  /** After a flush and a power cut on top. */
  readonly after: readonly number[];
}

/** What is left at a point where the front or the power may go. */
export interface Loss {
  readonly home: Remnant;
  readonly store: Rests<number>;
  /** Of the newest incarnation. */
  readonly epoch: number;
  readonly promised: Promised;
}

/** What the death of a driver has come to. */
export interface DriverEnd {
  readonly outcome: Outcome;
  /** Of the store; `undefined` if it has not died. */
  readonly rests: Rests<number> | undefined;
  readonly promised: Promised;
}

const FATES: readonly Fate[] = ["lives", "unseen", "seen"];
const UNTOUCHED: Rests<number> = Array.from({ length: SECTORS }, () => [ZEROES]);
const UNKNOWN: Rests<number> = Array.from({ length: SECTORS }, () => [ANY_REST]);

/** All of a script, and the death of the driver at one of its submissions, or none. */
export function playDriverDeath(play: Play, choose: Choose): DriverEnd {
  let isMortal = false;
  let rests: (readonly number[])[] | undefined;
  const store = new SmallStore(UNTOUCHED);
  const world = newWorld(play, store, choose, new Sectors(), {
    fate: () => (isMortal ? (FATES[choose(FATES.length)] as Fate) : "lives"),
    died: (left) => {
      isMortal = false;
      rests = [...left];
      store.loseTo(ANY_REST);
    },
    // The front compares what it knows to be durable with what the next driver reads. So now we say which of the rests it is.
    read: (sector) => {
      const versions = rests?.[sector];
      if (rests === undefined || versions === undefined || store.read(sector) !== ANY_REST) return store.read(sector);
      const id = versions[choose(versions.length)] as number;
      rests[sector] = [id];
      store.writeDurably(sector, id);
      return id;
    },
  });
  isMortal = true;
  world.perform(play.script, play.pace);
  isMortal = false;
  return { outcome: readOften(world), rests, promised: world.ledger.promised };
}

/** All of a script, and no death. Returns what one would have left, wherever anything may have changed since the last point. */
export function playToLosses(play: Play, choose: Choose, sectors: Sectors): readonly Loss[] {
  const { death, home, script, pace } = play;
  if (death === "driver") throw new Error("Cannot tell what the death of a driver leaves of its front: all of it");
  const losses: Loss[] = [];
  const store = new SmallStore(UNTOUCHED);
  let isMortal = false;
  const world = newWorld(play, store, choose, sectors, {
    // What a log's disk does goes on without a point of its own.
    point: (changed) => isMortal && (changed || home === "disk") && lose(),
  });
  const lose = (): void => {
    const { epoch, ledger } = world;
    losses.push({ home: world.home.left(death), store: store.rests(), epoch, promised: ledger.promised });
  };
  isMortal = true;
  lose();
  world.perform(script, pace);
  lose();
  return losses;
}

/**
 * A front, after a loss. Nothing else than these arguments has an effect: the world is a new one, with a clock that begins at 0.
 * `store`: one that may hold any of its rests, if nothing else is said.
 */
export function recover(
  build: Build,
  home: SmallHome,
  epoch: number,
  choose: Choose,
  store = new SmallStore(UNKNOWN),
): Outcome {
  // What a front looks at that has lost its driver again is what it has read before.
  return readOften(
    new SmallWorld({ ...STAYING, read: (sector) => store.read(sector), build, home, epoch, store, choose }),
  );
}

/** Nothing ends, and nobody but clients looks into the store. */
const STAYING: Pick<SmallWorldPorts, "fate" | "died" | "read" | "point"> = {
  fate: () => "lives",
  died: () => {},
  read: (sector) => {
    throw new Error(`Cannot leave it open what sector ${sector} holds: the front looks at it`);
  },
  point: () => {},
};

function newWorld(
  build: Build,
  store: SmallStore<number>,
  choose: Choose,
  sectors: Sectors,
  ends: Partial<SmallWorldPorts>,
): SmallWorld {
  const home = newHome(build.home, profileOf(build), sectors);
  const world = new SmallWorld({ ...STAYING, ...ends, build, home, epoch: 0, store, choose });
  // A log that is new writes much at its first flush, which has nothing to do with the script.
  world.flush();
  return world;
}

function readOften(world: SmallWorld): Outcome {
  const found = world.readAll();
  world.driverDies();
  const again = world.readAll();
  world.flush();
  world.powerCut();
  return { found, again, after: world.readAll() };
}
