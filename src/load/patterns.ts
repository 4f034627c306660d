import type { SeededRandom } from "../block/random.ts";
import type { LoadPattern } from "./pattern.ts";

/** What a lane asks next; filled anew each time. Those that the server can't do become something that it can. */
export interface Choice {
  kind: "read" | "write" | "zero" | "trim" | "flush";
  sector: number;
  /** From 1 on, also of a flush. */
  count: number;
  fua: boolean;
  mayTrim: boolean;
}

/** Whose choices these are, and of what. */
export interface LaneRegion {
  readonly sectors: number;
  readonly sectorBytes: number;
  /** From 0 on, over all clients. */
  readonly lane: number;
  readonly lanes: number;
}

/** Draws one lane's requests: the same ones for the same random numbers. */
export type Draw = (random: SeededRandom, choice: Choice) => void;

/** A pattern of one's own: makes a lane's draw. */
export type PatternMaker = (region: LaneRegion) => Draw;

const MAX_REQUEST_SECTORS = 64;
/** Where sectors are large, requests have fewer of them. */
const MAX_REQUEST_BYTES = 1 << 20;
/** What `overlapping` loves: as many sectors as two of its largest requests and some more. */
const HOT_SECTORS = 48;
const MAX_HOT_REQUEST_SECTORS = 16;
/** What `sequential` writes at once, and how many of these further behind a lane reads, at most. */
const SEQUENTIAL_SECTORS = 8;
const READ_BEHIND = 16;

/** What each of the four does. */
export const PATTERNS: Readonly<Record<LoadPattern, PatternMaker>> = {
  random,
  sequential,
  overlapping,
  "flush-heavy": flushHeavy,
};

/**
 * Blocks anywhere: so many of a hundred requests are writes, the others reads, and each n-th one of a lane is a flush; none where
 * that is Infinity.
 */
export function blocks(blockBytes: number, writePercent: number, flushEvery: number): PatternMaker {
  return ({ sectors, sectorBytes, lane, lanes }) => {
    const count = Math.max(1, blockBytes / sectorBytes);
    const places = Math.floor(sectors / count);
    // Not all lanes at the same time.
    let turn = Math.floor((lane * flushEvery) / lanes);
    return (random, choice) => {
      choice.sector = random.below(places) * count;
      choice.count = count;
      choice.fua = false;
      if (++turn % flushEvery === 0) choice.kind = "flush";
      else choice.kind = random.below(100) < writePercent ? "write" : "read";
    };
  };
}

function random({ sectors, sectorBytes }: LaneRegion): Draw {
  const most = mostSectors(sectors, sectorBytes, MAX_REQUEST_SECTORS);
  return (random, choice) => {
    anyKind(random, choice);
    place(random, choice, sectors, random.below(4) === 0 ? most : Math.min(most, 8));
  };
}

function overlapping({ sectors, sectorBytes }: LaneRegion): Draw {
  const hot = Math.min(HOT_SECTORS, sectors);
  const most = mostSectors(hot, sectorBytes, MAX_HOT_REQUEST_SECTORS);
  return (random, choice) => {
    anyKind(random, choice);
    place(random, choice, random.below(10) === 0 ? sectors : hot, most);
  };
}

function flushHeavy({ sectors, sectorBytes }: LaneRegion): Draw {
  const most = mostSectors(sectors, sectorBytes, 8);
  return (random, choice) => {
    anyKind(random, choice);
    place(random, choice, sectors, most);
    const die = random.below(8);
    if (die === 0) choice.kind = "flush";
    else if (die <= 2) {
      choice.kind = "write";
      choice.fua = true;
    }
  };
}

/**
 * Lanes take turns: together they go through the region once after another. A lane reads back each place that it has written, some way
 * behind, and before it comes there again: so no lie is written over before anybody has seen it. Where the region has fewer
 * places than there are lanes, some lanes share one.
 */
function sequential({ sectors, sectorBytes, lane, lanes }: LaneRegion): Draw {
  const count = mostSectors(sectors, sectorBytes, SEQUENTIAL_SECTORS);
  const places = Math.floor(sectors / count);
  const own = Math.max(1, Math.ceil((places - lane) / lanes));
  const behind = Math.min(READ_BEHIND, own);
  // In places of this lane, since the start. A flush takes the place of neither.
  let written = 0;
  let read = 0;
  return (random, choice) => {
    choice.count = count;
    choice.fua = false;
    if (random.below(64) === 0) {
      choice.kind = "flush";
      return;
    }
    const isRead = written - read === behind;
    const step = isRead ? read++ : written++;
    choice.kind = isRead ? "read" : "write";
    choice.sector = (((step % own) * lanes + lane) % places) * count;
  };
}

/** The mix of most patterns. */
function anyKind(random: SeededRandom, choice: Choice): void {
  const die = random.below(100);
  choice.fua = false;
  if (die < 32) choice.kind = "read";
  else if (die < 37) choice.kind = "flush";
  else if (die < 44) {
    choice.kind = "zero";
    choice.fua = random.below(4) === 0;
    choice.mayTrim = random.below(2) === 0;
  } else if (die < 49) choice.kind = "trim";
  else {
    choice.kind = "write";
    choice.fua = random.below(8) === 0;
  }
}

/** Up to `most` sectors anywhere in the first `sectors`. */
function place(random: SeededRandom, choice: Choice, sectors: number, most: number): void {
  choice.count = 1 + random.below(most);
  choice.sector = random.below(sectors - choice.count + 1);
}

function mostSectors(sectors: number, sectorBytes: number, wanted: number): number {
  return Math.max(1, Math.min(wanted, sectors, Math.floor(MAX_REQUEST_BYTES / sectorBytes)));
}
