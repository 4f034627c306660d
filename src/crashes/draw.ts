import type { SeededRandom } from "../block/random.ts";
import { type History, type Range, rangeOf } from "./history.ts";
import type { CrashPoint } from "./points.ts";
import { type Ranges, union } from "./ranges.ts";
import { type CrashState, entryAt, newState } from "./state.ts";

/** What the disk writes whole, in sectors of the log; Infinity: each write as a whole. */
export interface Tearing {
  readonly atomicSectors: number;
}

/**
 * Up to so many pieces that may be missing or not, all combinations are tried: 4096 of them. A piece is what the disk writes whole, or a
 * change where that would be too many.
 */
const MAX_EXHAUSTIVE_PIECES = 12;
/** How many pieces of a change may be torn out of it at most in a draw: enough for any pattern, and a bound on names. */
const MAX_TEARS = 8;
/** How many changes are torn at most in a draw, about; and how many runs of changes share a fate: bounds on names as well. */
const MAX_TORN = 64;
const MAX_RUNS = 512;
/** A draw has one of these chances, in percent, for each change to be missing. */
const DENSITIES = [5, 25, 50, 75, 95];

/** One piece of a change. */
interface Piece extends Range {
  readonly entry: number;
}

/** How many states there may be at most at a point; Infinity where they can only be sampled. Some may be equal. */
export function stateCount(history: History, point: CrashPoint, tearing: Tearing): number {
  const count = pieceCount(history, point, tearing);
  return count <= MAX_EXHAUSTIVE_PIECES ? 2 ** count : Number.POSITIVE_INFINITY;
}

/** All states of a point. For one where `stateCount` is finite. */
export function* allStates(
  history: History,
  { end, volatile }: CrashPoint,
  tearing: Tearing,
): Generator<CrashState, void, undefined> {
  const all = [...volatile].flatMap((index) => piecesOf(history, index, tearing));
  for (let mask = 0; mask < 2 ** all.length; mask++) yield lacking(end, chosen(all, mask));
}

/** Some states of a point, those that say most first. It ends only where there is but one; states may come again. */
export function* drawStates(
  history: History,
  { end, volatile }: CrashPoint,
  tearing: Tearing,
  random: SeededRandom,
): Generator<CrashState, void, undefined> {
  const whole = [...volatile].map((entry) => ({ ...rangeOf(history, entryAt(history, entry)), entry }));
  yield lacking(end, []);
  if (whole.length === 0) return;
  yield lacking(end, whole);
  const methodical = methodicalStates(end, whole, random);
  for (;;) {
    const next = methodical.next();
    if (!next.done) yield next.value;
    yield randomState(history, end, whole, tearing, random);
  }
}

/**
 * All subsets of the changes, where these are few; else each change alone missing, each alone there, and what a disk leaves that
 * writes in order.
 */
function* methodicalStates(
  end: number,
  whole: readonly Piece[],
  random: SeededRandom,
): Generator<CrashState, void, undefined> {
  const { length } = whole;
  if (length <= MAX_EXHAUSTIVE_PIECES) {
    const masks = Array.from({ length: 2 ** length - 2 }, (_, index) => index + 1);
    for (const mask of random.shuffled(masks)) yield lacking(end, chosen(whole, mask));
    return;
  }
  for (const turn of random.shuffled(Array.from({ length: 3 * length }, (_, index) => index))) {
    const at = turn % length;
    const kept = (other: number): boolean =>
      turn < length ? other !== at : turn < 2 * length ? other === at : other < at;
    yield lacking(
      end,
      whole.filter((_, other) => !kept(other)),
    );
  }
}

/** One of: some changes missing; the same, and some torn; one alone torn; a disk that writes in order, torn where it ends. */
function randomState(
  history: History,
  end: number,
  whole: readonly Piece[],
  tearing: Tearing,
  random: SeededRandom,
): CrashState {
  const torn = (piece: Piece): Piece[] => tear(history, piece, tearing, random);
  const at = random.below(whole.length);
  switch (random.below(4)) {
    case 0:
      return lacking(end, someOf(whole, random));
    case 1: {
      const missing = new Set(someOf(whole, random));
      const oneIn = Math.max(4, Math.ceil(whole.length / MAX_TORN));
      return lacking(
        end,
        whole.flatMap((piece) => (random.below(oneIn) === 0 ? torn(piece) : missing.has(piece) ? [piece] : [])),
      );
    }
    case 2:
      return lacking(end, torn(whole[at] as Piece));
    default:
      return lacking(end, [...torn(whole[at] as Piece), ...whole.slice(at + 1)]);
  }
}

/** Of many, runs are taken or left together: the state stays one that a name of some kilobytes can tell. */
function someOf(items: readonly Piece[], random: SeededRandom): Piece[] {
  const percent = DENSITIES[random.below(DENSITIES.length)] as number;
  const longest = Math.max(1, Math.ceil((2 * items.length) / MAX_RUNS) - 1);
  const taken: Piece[] = [];
  for (let at = 0; at < items.length; ) {
    const run = items.slice(at, at + random.between(1, longest));
    if (random.below(100) < percent) taken.push(...run);
    at += run.length;
  }
  return taken;
}

/** The pieces whose bits are set. */
function chosen(pieces: readonly Piece[], mask: number): Piece[] {
  return pieces.filter((_, bit) => (mask & (1 << bit)) !== 0);
}

/** What is missing of a change of which not all was written: its end, its start, or some of its pieces. */
function tear(history: History, { entry }: Piece, tearing: Tearing, random: SeededRandom): Piece[] {
  const { from, to } = rangeOf(history, entryAt(history, entry));
  const cuts = cutsOf({ from, to }, tearing);
  if (cuts.count === 0) return random.below(2) === 0 ? [] : [{ from, to, entry }];
  const cut = cuts.at(random.below(cuts.count));
  const kind = random.below(3);
  if (kind === 0) return [{ from: cut, to, entry }];
  if (kind === 1) return [{ from, to: cut, entry }];
  const places = new Set([from, to]);
  for (let tears = 1 + random.below(2 * MAX_TEARS); tears > 0; tears--) places.add(cuts.at(random.below(cuts.count)));
  const borders = [...places].sort((a, b) => a - b);
  const first = random.below(2);
  return borders.slice(0, -1).flatMap((start, index) => {
    return index % 2 === first ? [{ from: start, to: borders[index + 1] as number, entry }] : [];
  });
}

/** Where a change may tear: at the borders of what the disk writes whole. */
function cutsOf({ from, to }: Range, { atomicSectors }: Tearing): { count: number; at: (index: number) => number } {
  if (atomicSectors === Number.POSITIVE_INFINITY) return { count: 0, at: () => to };
  const first = Math.floor(from / atomicSectors) + 1;
  return { count: Math.max(0, Math.ceil(to / atomicSectors) - first), at: (index) => (first + index) * atomicSectors };
}

function pieceCount(history: History, { volatile }: CrashPoint, tearing: Tearing): number {
  let count = 0;
  for (const index of volatile) {
    count += 1 + cutsOf(rangeOf(history, entryAt(history, index)), tearing).count;
    if (count > MAX_EXHAUSTIVE_PIECES) break;
  }
  return count;
}

function piecesOf(history: History, entry: number, tearing: Tearing): Piece[] {
  return pieces(rangeOf(history, entryAt(history, entry)), tearing).map((part) => ({ ...part, entry }));
}

/** A range cut at borders of what the disk writes whole, into `most` pieces of about the same length, or fewer. */
export function pieces({ from, to }: Range, tearing: Tearing, most = Number.POSITIVE_INFINITY): Range[] {
  const cuts = cutsOf({ from, to }, tearing);
  const count = Math.min(cuts.count + 1, most);
  const border = (number: number): number => cuts.at(Math.floor(((cuts.count + 1) * number) / count) - 1);
  return Array.from({ length: count }, (_, number) => ({
    from: number === 0 ? from : border(number),
    to: number === count - 1 ? to : border(number + 1),
  }));
}

/** `pieces`: those of a change follow each other. */
function lacking(end: number, pieces: readonly Piece[]): CrashState {
  const missing = new Map<number, Ranges>();
  for (const { entry, from, to } of pieces) missing.set(entry, union([...(missing.get(entry) ?? []), { from, to }]));
  return newState(end, missing);
}
