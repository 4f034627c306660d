const RANGE = /^(\d+)(?:-(\d+))?$/;

/** Blocks, both ends included. */
export interface BlockRange {
  readonly first: number;
  readonly last: number;
}

/** Blocks that can't be read or written, as null_blk's `badblocks`. */
export class BadBlocks {
  readonly #ranges: BlockRange[];
  readonly #once: boolean;

  /** `once`: a range is good again when a call has failed of it. */
  constructor(ranges: readonly BlockRange[], once: boolean) {
    this.#ranges = [...ranges];
    this.#once = once;
  }

  /** The number of blocks that a disk has at least that has all of them. */
  get end(): number {
    return Math.max(0, ...this.#ranges.map(({ last }) => last + 1));
  }

  /** The first bad block of those `count` from `first` on, if there is one: a call that reaches it fails. */
  strike(first: number, count: number): number | undefined {
    let found: BlockRange | undefined;
    for (const range of this.#ranges) {
      if (range.last < first || range.first >= first + count) continue;
      if (found === undefined || range.first < found.first) found = range;
    }
    if (found === undefined) return undefined;
    if (this.#once) this.#ranges.splice(this.#ranges.indexOf(found), 1);
    return Math.max(first, found.first);
  }
}

/** Reads "100-199,500": block numbers, both ends included. */
export function parseRanges(text: string): readonly BlockRange[] {
  return text.split(",").map((part) => {
    const [, first, last = first] = RANGE.exec(part) ?? [];
    const range = { first: Number(first), last: Number(last) };
    if (first !== undefined && range.first <= range.last && Number.isSafeInteger(range.last)) return range;
    throw new Error(`it is ${JSON.stringify(text)}, numbers and ranges of blocks such as 100-199,500 were wanted`);
  });
}
