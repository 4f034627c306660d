import { type History, isChange, type Range, rangeOf } from "./history.ts";
import { gaps, within } from "./ranges.ts";
import { type CrashState, NOTHING_MISSING } from "./state.ts";

/** Where the content of some sectors comes from: a change by its number, or `BASE`, what was there before the first one. */
export interface Source extends Range {
  readonly entry: number;
}
export const BASE = -1;

/** The smallest buckets, in sectors; each level has buckets so many times larger. */
const BUCKET_SECTORS = 8;
const GROWTH = 16;

interface Level {
  /** Of its buckets, in sectors. */
  readonly size: number;
  /** By bucket, the changes of this level that touch it, ascending. */
  readonly changes: Map<number, number[]>;
  /** Buckets that changes of lower levels touch. */
  readonly divided: Set<number>;
}

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
  readonly #levels: Level[] = [];
  readonly #ranges: readonly (Range | undefined)[];

  constructor(history: History) {
    this.#ranges = history.entries.map((entry) => (isChange(entry) ? rangeOf(history, entry) : undefined));
    for (const range of this.#ranges) if (range !== undefined) this.#grow(range);
    for (const [index, range] of this.#ranges.entries()) if (range !== undefined) this.#add(index, range);
  }

  /**
   * Which changes the sectors of `range` have their content from in `state`, in the order of the sectors, like neighbours as one. It
   * may begin and end within a sector.
   */
  sources(state: CrashState, range: Range): Source[] {
    const found: Source[] = [];
    this.#look(this.#levels.length - 1, state, range, found);
    return joined(found);
  }

  /** Where the sectors would have their content from if nothing were missing. */
  fullSources(end: number, range: Range): Source[] {
    return this.sources({ end, missing: NOTHING_MISSING }, range);
  }

  #grow({ from, to }: Range): void {
    while ((this.#levels.at(-1)?.size ?? 0) < to - from) {
      const size = (this.#levels.at(-1)?.size ?? BUCKET_SECTORS / GROWTH) * GROWTH;
      this.#levels.push({ size, changes: new Map(), divided: new Set() });
    }
  }

  #add(index: number, { from, to }: Range): void {
    const own = this.#levels.findIndex(({ size }) => size >= to - from);
    for (const [level, { size, changes, divided }] of this.#levels.entries()) {
      if (level < own) continue;
      for (let bucket = Math.floor(from / size); bucket * size < to; bucket++) {
        if (level > own) divided.add(bucket);
        else if (!changes.get(bucket)?.push(index)) changes.set(bucket, [index]);
      }
    }
  }

  /** Goes down to where all changes of a bucket are known: where nothing small is, a large one is looked up as a whole. */
  #look(level: number, state: CrashState, range: Range, found: Source[]): void {
    const { size, divided } = this.#levels[level] ?? { size: Number.POSITIVE_INFINITY };
    for (let { from } = range; from < range.to; ) {
      const bucket = Math.floor(from / size);
      const part = { from, to: Math.min(range.to, (bucket + 1) * size) };
      if (divided?.has(bucket)) this.#look(level - 1, state, part, found);
      else this.#lookUp(level, state, part, found);
      from = part.to;
    }
  }

  /** `range` lies in one bucket of that level, and of all above. */
  #lookUp(level: number, { end, missing }: CrashState, range: Range, found: Source[]): void {
    let open = [range];
    const sources: Source[] = [];
    for (const index of this.#newestFirst(level, range, end)) {
      const lost = missing.get(index) ?? [];
      const own = this.#ranges[index] as Range;
      const left: Range[] = [];
      for (const hole of open) {
        const taken = within([own], hole).flatMap((part) => gaps(lost, part));
        sources.push(...taken.map((part) => ({ ...part, entry: index })));
        left.push(...(taken.length === 0 ? [hole] : gaps(taken, hole)));
      }
      open = left;
      if (open.length === 0) break;
    }
    sources.push(...open.map((part) => ({ ...part, entry: BASE })));
    for (const source of sources.sort((a, b) => a.from - b.from)) found.push(source);
  }

  /** The changes before `end` that may touch the range, each once. */
  *#newestFirst(level: number, { from, to }: Range, end: number): Generator<number, void, undefined> {
    const heads: { readonly list: readonly number[]; at: number }[] = [];
    for (const { size, changes } of this.#levels.slice(Math.max(0, level))) {
      const list = changes.get(Math.floor(from / size));
      if (list !== undefined) heads.push({ list, at: countBelow(list, end) - 1 });
    }
    for (;;) {
      let newest: (typeof heads)[number] | undefined;
      for (const head of heads) {
        if (head.at >= 0 && (newest === undefined || at(head) > at(newest))) newest = head;
      }
      if (newest === undefined) return;
      const index = at(newest);
      newest.at--;
      const own = this.#ranges[index] as Range;
      if (own.from < to && from < own.to) yield index;
    }
  }
}

/** The newest change in a list that hasn't been taken from it yet. */
function at(head: { readonly list: readonly number[]; readonly at: number }): number {
  return head.list[head.at] as number;
}

/** How many of the ascending numbers are below `bound`. */
export function countBelow(list: ArrayLike<number>, bound: number): number {
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
