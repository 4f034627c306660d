import { type History, isChange, type Range, rangeOf } from "./history.ts";
import { gaps, union, within } from "./ranges.ts";
import { type CrashState, NOTHING_MISSING } from "./state.ts";

/** Where the content of some sectors comes from: a change by its number, or `BASE`, what was there before the first one. */
export interface Source extends Range {
  readonly entry: number;
}
export const BASE = -1;

/** The smallest buckets, in sectors; each level has buckets so many times larger. */
const BUCKET_SECTORS = 8;
const GROWTH = 16;

/**
 * Which changes concern a sector, for all states of a log at once. A change is kept at the level whose buckets are at least as long as
 * it, in the one or two that it touches; so the index takes two numbers a change, however long the changes are, and a state
 * none.
 *
 *   level 2   |            2048 sectors             |     …
 *   level 1   | 128 | 128 | 128 |     …
 *   level 0   |8|8|8|8|     …
 */
export class WriteIndex {
  /** By bucket, the changes that touch it, ascending. */
  readonly #levels: Map<number, number[]>[] = [];
  readonly #ranges: readonly (Range | undefined)[];

  constructor(history: History) {
    this.#ranges = history.entries.map((entry) => (isChange(entry) ? rangeOf(history, entry) : undefined));
    for (const [index, range] of this.#ranges.entries()) if (range !== undefined) this.#add(index, range);
  }

  /** Which changes the sectors of `range` have their content from in `state`, in the order of the sectors, like neighbours as one. */
  sources({ end, missing }: CrashState, range: Range): Source[] {
    const found: Source[] = [];
    let open = [range];
    for (const index of this.#newestFirst(range, end)) {
      const lost = missing.get(index) ?? [];
      const own = this.#ranges[index] as Range;
      const left: Range[] = [];
      for (const hole of open) {
        const taken = within([own], hole).flatMap((part) => gaps(lost, part));
        found.push(...taken.map((part) => ({ ...part, entry: index })));
        left.push(...(taken.length === 0 ? [hole] : gaps(taken, hole)));
      }
      open = left;
      if (open.length === 0) break;
    }
    found.push(...open.map((part) => ({ ...part, entry: BASE })));
    return joined(found.sort((a, b) => a.from - b.from));
  }

  /** Where the sectors would have their content from if nothing were missing. */
  fullSources(end: number, range: Range): Source[] {
    return this.sources({ end, missing: NOTHING_MISSING }, range);
  }

  #add(index: number, { from, to }: Range): void {
    let level = 0;
    let size = BUCKET_SECTORS;
    for (; size < to - from; size *= GROWTH) level++;
    while (this.#levels.length <= level) this.#levels.push(new Map());
    const buckets = this.#levels[level] as Map<number, number[]>;
    for (let bucket = Math.floor(from / size); bucket * size < to; bucket++) {
      const list = buckets.get(bucket);
      if (list === undefined) buckets.set(bucket, [index]);
      else list.push(index);
    }
  }

  /** The changes before `end` that may touch the range, each once. */
  *#newestFirst({ from, to }: Range, end: number): Generator<number, void, undefined> {
    const heads: { readonly list: readonly number[]; at: number }[] = [];
    let size = BUCKET_SECTORS;
    for (const buckets of this.#levels) {
      for (let bucket = Math.floor(from / size); bucket * size < to; bucket++) {
        const list = buckets.get(bucket);
        if (list !== undefined) heads.push({ list, at: countBelow(list, end) - 1 });
      }
      size *= GROWTH;
    }
    let last = end;
    for (;;) {
      let newest = -1;
      for (const head of heads) {
        while (head.at >= 0 && (head.list[head.at] as number) >= last) head.at--;
        if (head.at >= 0) newest = Math.max(newest, head.list[head.at] as number);
      }
      if (newest === -1) return;
      last = newest;
      const own = this.#ranges[newest] as Range;
      if (own.from < to && from < own.to) yield newest;
    }
  }
}

/** How many of the ascending numbers are below `bound`. */
function countBelow(list: readonly number[], bound: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle] as number) < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Neighbours from the same change as one. */
export function joined(sources: readonly Source[]): Source[] {
  const result: Source[] = [];
  for (const source of sources) {
    const last = result.at(-1);
    if (last !== undefined && last.entry === source.entry && last.to === source.from) {
      result[result.length - 1] = { from: last.from, to: source.to, entry: last.entry };
    } else result.push(source);
  }
  return result;
}

/** Every sector that is missing of some change, once. */
export function touchedBy({ missing }: CrashState): readonly Range[] {
  return union([...missing.values()].flat());
}
