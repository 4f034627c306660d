import { type Payload, slotBytes } from "../block/memory.ts";
import type { Request } from "../block/request.ts";
import { BlockMap } from "./block-map.ts";
import { checksum } from "./checksum.ts";
import { DigestTable, FIRST_DIGEST, PAGE_ENTRIES, UNKNOWN, UNSPECIFIED, type Uniform, ZEROES } from "./digest-table.ts";
import type { Random } from "./ports.ts";

/** What the digests of one device may take, if nothing else is said. */
export const DIGESTS_BYTES = 64 << 20;
/** How many condemned blocks are remembered, and how many doubtful ones: 100 bytes each, and 8 for each content. */
export const MAX_CONDEMNED = 4096;
export const MAX_DOUBTFUL = 16_384;
/** How many contents a doubtful block may have before it may as well have any. */
export const MAX_CONTENTS = 32;

/** Bytes on the device, whole blocks. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

const NOTHING: readonly Range[] = [];

/**
 * What each block holds, by its digest, as far as it was written or read since the front started: so that a driver that
 * returns something else is found out, be it corrupted, misdirected, lost or torn.
 *
 * A block's digest takes 4 bytes and some for the table: 8.3 GiB for a TiB of 512-byte blocks, 1.04 GiB for one of 4 KiB blocks.
 * DIGESTS_BYTES are enough for 7.7 GiB of the former, or 61 GiB of the latter, in one stretch. When they are used up,
 * a write makes 64 neighbouring blocks unknown; a read of unknown blocks is not remembered then, lest one scan of
 * the whole device throw out all that was written. An unknown block is never found to be wrong.
 *
 * Offsets, lengths and positions are in bytes and whole blocks. Payloads are borrowed for the call.
 */
export class Digests {
  readonly #blockSize: number;
  readonly #table: DigestTable;
  /**
   * Blocks that the store keeps returning wrongly, over a restart too: reads of them fail without trying that again, until they are
   * written. When there are too many, the next read of the oldest costs another restart, and fails again.
   */
  readonly #condemned = new BlockMap<true>(MAX_CONDEMNED);
  /**
   * Blocks that a refused writer may have changed: the digests of all that they may hold. In the table they are UNSPECIFIED, and
   * when there are too many here the oldest are nothing else.
   */
  readonly #doubtful = new BlockMap<readonly number[]>(MAX_DOUBTFUL);
  /** Of a block of zeroes. */
  readonly #zeroes: number;

  constructor(blockSize: number, limitBytes: number, random: Random) {
    this.#blockSize = blockSize;
    this.#table = new DigestTable(limitBytes, random);
    this.#zeroes = digestOf(new Uint8Array(blockSize));
  }

  /** Memory of the digests that are known. */
  get usedBytes(): number {
    return this.#table.usedBytes;
  }

  /** Blocks that `isCondemned` is true of. */
  get condemnedBlocks(): number {
    return this.#condemned.size;
  }

  /** A write was acknowledged: the range holds the bytes of `payload` from `position` on. */
  write(offset: number, length: number, payload: Payload, position: number): void {
    const { entries } = this.#table;
    const first = offset / this.#blockSize;
    const end = first + length / this.#blockSize;
    this.#settle(first, end - first);
    for (let block = first; block < end; ) {
      const page = Math.min(end, endOfPage(block));
      for (let index = this.#table.make(block); block < page; block++, index++) {
        entries[index] = this.#digestAt(payload, position + (block - first) * this.#blockSize);
      }
    }
  }

  /** A zero was acknowledged. */
  zero(offset: number, length: number): void {
    this.#fill(offset, length, ZEROES);
  }

  /** A trim was acknowledged: nothing is known of the range, or learned from reads, until it is written. */
  trim(offset: number, length: number): void {
    this.#fill(offset, length, UNSPECIFIED);
  }

  /**
   * A writer was refused, or may have had its effect in part: each of its blocks holds the old or the new until it is written, since
   * what is read of it now may be lost with the driver's cache. Where the old is unknown, or the new (a trim), it may hold anything.
   * What was condemned stays so: it may still be the old that was wrong. The payload is borrowed for the call.
   */
  refused({ kind, offset, length, payload }: Request): void {
    const first = offset / this.#blockSize;
    const count = length / this.#blockSize;
    const doubtful: [number, readonly number[]][] = [];
    // Of more blocks than are remembered none has to be looked at.
    const known = kind === "trim" || count > MAX_DOUBTFUL ? 0 : count;
    for (let block = first; block < first + known; block++) {
      const before = this.#contentsOf(block);
      if (before === undefined) continue;
      const after = payload === undefined ? this.#zeroes : this.#digestAt(payload, (block - first) * this.#blockSize);
      if (before.includes(after)) doubtful.push([block, before]);
      else if (before.length < MAX_CONTENTS) doubtful.push([block, [...before, after]]);
    }
    this.#doubtful.delete(first, count);
    this.#table.fill(first, count, UNSPECIFIED);
    for (const [block, contents] of doubtful) this.#doubtful.set(block, contents);
  }

  /**
   * A read returned the bytes of `payload` from `position` on. Returns the blocks that are not what they have to be, neighbours
   * as one range, in order. Where all are right, those that were unknown are remembered: what a driver says
   * in one breath with a lie is not to be believed; with `learns` off, none are.
   */
  check(offset: number, length: number, payload: Payload, position: number, learns = true): readonly Range[] {
    const first = offset / this.#blockSize;
    const end = first + length / this.#blockSize;
    const wrong: Range[] = [];
    const isSettled = !this.#doubtful.touches(first, end - first);
    let unknown = false;
    for (let block = first; block < end; ) {
      const page = Math.min(end, endOfPage(block));
      const found = this.#table.find(block);
      if (found === -1 - UNKNOWN) unknown = true;
      if (found === -1 - UNKNOWN || (found === -1 - UNSPECIFIED && isSettled)) {
        block = page;
        continue;
      }
      for (let index = found; block < page; block++, index++) {
        const known = found < 0 ? -1 - found : (this.#table.entries[index] as number);
        if (known === UNKNOWN) unknown = true;
        if (known === UNKNOWN || (known === UNSPECIFIED && isSettled)) continue;
        const at = (block - first) * this.#blockSize;
        if (!this.#isRight(block, known, this.#digestAt(payload, position + at))) {
          appendBlock(wrong, offset + at, this.#blockSize);
        }
      }
    }
    if (wrong.length > 0) return wrong;
    if (unknown && learns) this.#learn(first, end, payload, position);
    return NOTHING;
  }

  /** Whether anything else than zeroes is known to be in a range that a driver says reads as zeroes. */
  contradictsZeroes(offset: number, length: number): boolean {
    const first = offset / this.#blockSize;
    const count = length / this.#blockSize;
    if (this.#table.holdsOther(this.#zeroes, first, count)) return true;
    for (const [, contents] of this.#doubtful.within(first, count)) if (!contents.includes(this.#zeroes)) return true;
    return false;
  }

  /** The range stays wrong, whatever is tried: it is not worth another restart until it is written, zeroed or trimmed. */
  condemn(offset: number, length: number): void {
    const end = (offset + length) / this.#blockSize;
    for (let block = Math.max(offset / this.#blockSize, end - MAX_CONDEMNED); block < end; block++) {
      this.#condemned.set(block, true);
    }
  }

  /** Whether what the range holds is in doubt, because of a refused writer. */
  isDoubtful(offset: number, length: number): boolean {
    return this.#doubtful.touches(offset / this.#blockSize, length / this.#blockSize);
  }

  /** Whether a block of the range is condemned. */
  isCondemned(offset: number, length: number): boolean {
    return this.#condemned.touches(offset / this.#blockSize, length / this.#blockSize);
  }

  #fill(offset: number, length: number, value: Uniform): void {
    const first = offset / this.#blockSize;
    const count = length / this.#blockSize;
    this.#settle(first, count);
    this.#table.fill(first, count, value);
  }

  /** What the blocks hold is certain again. */
  #settle(first: number, count: number): void {
    this.#condemned.delete(first, count);
    this.#doubtful.delete(first, count);
  }

  /** The digests of all that a block may hold; `undefined` where it may hold anything. */
  #contentsOf(block: number): readonly number[] | undefined {
    const found = this.#table.find(block);
    const known = found < 0 ? -1 - found : (this.#table.entries[found] as number);
    if (known === UNKNOWN) return undefined;
    if (known === UNSPECIFIED) return this.#doubtful.get(block);
    return [known === ZEROES ? this.#zeroes : known];
  }

  /** `known`: what the table says of the block, which isn't UNKNOWN. */
  #isRight(block: number, known: number, digest: number): boolean {
    if (known === UNSPECIFIED) return this.#doubtful.get(block)?.includes(digest) ?? true;
    return digest === (known === ZEROES ? this.#zeroes : known);
  }

  #learn(first: number, end: number, payload: Payload, position: number): void {
    const { entries } = this.#table;
    for (let block = first; block < end; ) {
      const page = Math.min(end, endOfPage(block));
      let index = this.#table.find(block);
      if (index === -1 - UNKNOWN && this.#table.hasRoom) index = this.#table.make(block);
      if (index < 0) {
        block = page;
        continue;
      }
      for (; block < page; block++, index++) {
        if (entries[index] !== UNKNOWN) continue;
        entries[index] = this.#digestAt(payload, position + (block - first) * this.#blockSize);
      }
    }
  }

  /** The view of a block lives no longer than the call. It costs 20 ns, and copying to where one is kept would cost 40. */
  #digestAt(payload: Payload, position: number): number {
    return digestOf(slotBytes(payload, position, this.#blockSize));
  }
}

/** The few digests that would mean something else in the table are taken for another one. */
function digestOf(block: Uint8Array): number {
  return Math.max(FIRST_DIGEST, checksum(block));
}

/** Blocks up to here have their entries side by side. */
function endOfPage(block: number): number {
  return (Math.floor(block / PAGE_ENTRIES) + 1) * PAGE_ENTRIES;
}

function appendBlock(ranges: Range[], offset: number, length: number): void {
  const last = ranges.at(-1);
  if (last === undefined || last.offset + last.length !== offset) ranges.push({ offset, length });
  else ranges[ranges.length - 1] = { offset: last.offset, length: last.length + length };
}
