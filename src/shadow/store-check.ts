import { strict as assert } from "node:assert";
import { crc32 } from "node:zlib";
import { MIN_BLOCK_SIZE } from "../block/geometry.ts";
import { type Memory, type Payload, slotBytes } from "../block/memory.ts";
import type { Request } from "../block/request.ts";
import { Operation } from "./operation.ts";
import type { DriverInfo, Random } from "./ports.ts";
import type { Submissions } from "./submissions.ts";

/** How many durable blocks are remembered. */
export const SAMPLED_BLOCKS = 16;
/** Once that many are, one durable block in so many takes the place of another. */
const BLOCKS_PER_SAMPLE = 64;
/**
 * The beginning of a block stands for it: no store tears as little as this. A larger block may be half old and half new when its
 * driver was killed in the middle of a write, and its store be the same all the same.
 */
const DIGESTED_BYTES = MIN_BLOCK_SIZE;
/** How many contents a block may have before it is not remembered any more. */
const MAX_CONTENTS = 8;

interface SampledBlock {
  readonly offset: number;
  /** Digests of what the store may hold there: what was durable last, and what was written since. */
  contents: number[];
}

/**
 * Is a new incarnation's store the one that it was? The front remembers digests of a few blocks that the store said
 * are durable. An incarnation that doesn't have them is not the same store, whatever its identity says: a server whose
 * store died with it, a file that was replaced.
 */
export class StoreCheck {
  readonly #blockSize: number;
  readonly #random: Random;
  #blocks: SampledBlock[] = [];
  /** Where the blocks are read to; taken once, so that no check is left out for want of memory. */
  readonly #payload: Payload;
  readonly #zeroes: number;
  #pending: { check: Operation; block: SampledBlock; position: number }[] = [];

  constructor(blockSize: number, memory: Memory, random: Random) {
    this.#blockSize = blockSize;
    this.#random = random;
    const payload = memory.allocate(SAMPLED_BLOCKS * blockSize);
    assert(payload !== undefined, "there is no memory for checking the store");
    this.#payload = payload;
    this.#zeroes = crc32(new Uint8Array(DIGESTED_BYTES));
  }

  /** Whether a range that has become durable should be told of: all at first, then one in a few, and what is remembered. */
  wants(offset: number, length: number): boolean {
    if (this.#blocks.length < SAMPLED_BLOCKS || this.#random.below(BLOCKS_PER_SAMPLE) === 0) return true;
    for (const block of this.#blocks) if (this.#within(block, offset, length)) return true;
    return false;
  }

  /**
   * A range is durable: its contents begin at `position` of `payload`. Remembers a block of it, in the place of a random other
   * one when full; of those that it remembers already, that they hold nothing else.
   */
  durable(offset: number, length: number, payload: Payload, position: number): void {
    const digestAt = (at: number) => digest(payload, position + at - offset);
    const known = this.#blocks.filter((block) => this.#within(block, offset, length));
    for (const block of known) block.contents = [digestAt(block.offset)];
    if (known.length > 0) return;
    const block = { offset, contents: [digestAt(offset)] };
    if (this.#blocks.length < SAMPLED_BLOCKS) this.#blocks.push(block);
    else this.#blocks[this.#random.below(SAMPLED_BLOCKS)] = block;
  }

  /**
   * A range is about to change. Until it is durable its blocks hold the old or the new; forgetting them would let a store that has
   * died pass whenever its oldest blocks are those that are written most. What a trim leaves nobody knows.
   */
  changes({ kind, offset, length, payload }: Request): void {
    for (let i = this.#blocks.length - 1; i >= 0; i--) {
      const block = this.#blocks[i] as SampledBlock;
      if (!this.#within(block, offset, length)) continue;
      if (kind === "trim" || block.contents.length === MAX_CONTENTS) {
        const last = this.#blocks.pop() as SampledBlock;
        if (last !== block) this.#blocks[i] = last;
      } else if (payload === undefined) {
        block.contents.push(this.#zeroes);
      } else {
        block.contents.push(digest(payload, block.offset - offset));
      }
    }
  }

  /** Ranges are of whole blocks. */
  #within(block: SampledBlock, offset: number, length: number): boolean {
    return block.offset >= offset && block.offset < offset + length;
  }

  /** Reads the remembered blocks. False if there are none. */
  start(submissions: Submissions): boolean {
    this.#pending = this.#blocks.slice(0, submissions.depth).map((block, index) => ({
      check: Operation.forCheck(block.offset, this.#blockSize),
      block,
      position: index * this.#blockSize,
    }));
    for (const { check, position } of this.#pending) submissions.issueCheck(check, this.#payload, position);
    return this.busy;
  }

  get busy(): boolean {
    return this.#pending.length > 0;
  }

  /** One of its reads is over. Returns what is wrong; a read that failed says nothing either way. */
  finished(operation: Operation): string | undefined {
    const index = this.#pending.findIndex(({ check }) => check === operation);
    const [done] = this.#pending.splice(index, 1);
    assert(done !== undefined);
    const { block, position } = done;
    if (operation.errno !== 0) return undefined;
    if (block.contents.includes(digest(this.#payload, position))) return undefined;
    return `the block at ${block.offset}, durable before, has other contents`;
  }
}

function digest(payload: Payload, position: number): number {
  return crc32(slotBytes(payload, position, DIGESTED_BYTES));
}

const FEATURES = ["readOnly", "fua", "trim", "zero", "extents"] as const;

/** What keeps a new incarnation from being the same device; `undefined` if nothing does. It may have grown. */
export function differenceOf(before: DriverInfo, now: DriverInfo): string | undefined {
  if (before.identity !== now.identity) {
    return `identity is ${now.identity ?? "missing"}, ${before.identity ?? "none"} was wanted`;
  }
  const was = before.geometry;
  const is = now.geometry;
  if (is.blockSize !== was.blockSize) return `block size is ${is.blockSize}, ${was.blockSize} was wanted`;
  if (is.size < was.size) return `size is ${is.size}, at least ${was.size} was wanted`;
  // What writers could use says nothing where there are none.
  const features = was.readOnly && is.readOnly ? (["extents"] as const) : FEATURES;
  for (const feature of features) {
    if (is[feature] !== was[feature]) return `feature ${feature} is ${is[feature]}, ${was[feature]} was wanted`;
  }
  return undefined;
}
