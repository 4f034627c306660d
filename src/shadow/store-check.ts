import { strict as assert } from "node:assert";
import { crc32 } from "node:zlib";
import { type Memory, type Payload, slotBytes } from "../block/memory.ts";
import { Operation } from "./operation.ts";
import type { DriverInfo, Random } from "./ports.ts";
import type { Submissions } from "./submissions.ts";

/** How many durable blocks are remembered. */
export const SAMPLED_BLOCKS = 16;
/** Once that many are, one durable block in so many takes the place of another. */
const BLOCKS_PER_SAMPLE = 64;

interface SampledBlock {
  readonly offset: number;
  readonly digest: number;
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
  #pending: { check: Operation; block: SampledBlock; position: number }[] = [];

  constructor(blockSize: number, memory: Memory, random: Random) {
    this.#blockSize = blockSize;
    this.#random = random;
    const payload = memory.allocate(SAMPLED_BLOCKS * blockSize);
    assert(payload !== undefined, "there is no memory for checking the store");
    this.#payload = payload;
  }

  /** Whether the next block that has become durable should be remembered: all at first, then one in a few. */
  get wantsBlock(): boolean {
    return this.#blocks.length < SAMPLED_BLOCKS || this.#random.below(BLOCKS_PER_SAMPLE) === 0;
  }

  /** Remembers a durable block: its content begins at `position` of `payload`. Takes the place of a random older one when full. */
  remember(offset: number, payload: Payload, position: number): void {
    const block = { offset, digest: crc32(slotBytes(payload, position, this.#blockSize)) };
    if (this.#blocks.length < SAMPLED_BLOCKS) this.#blocks.push(block);
    else this.#blocks[this.#random.below(SAMPLED_BLOCKS)] = block;
  }

  /** The range is about to change: what stood there says nothing any more. */
  forget(offset: number, length: number): void {
    for (let i = this.#blocks.length - 1; i >= 0; i--) {
      const block = this.#blocks[i] as SampledBlock;
      if (block.offset >= offset + length || block.offset + this.#blockSize <= offset) continue;
      const last = this.#blocks.pop() as SampledBlock;
      if (last !== block) this.#blocks[i] = last;
    }
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
    if (operation.errno !== 0 || crc32(slotBytes(this.#payload, position, this.#blockSize)) === block.digest)
      return undefined;
    return `the block at ${block.offset}, durable before, has other contents`;
  }
}

/** What keeps a new incarnation from being the same device; `undefined` if nothing does. It may have grown. */
export function differenceOf(before: DriverInfo, now: DriverInfo): string | undefined {
  if (before.identity !== now.identity) {
    return `identity is ${now.identity ?? "missing"}, ${before.identity ?? "none"} was wanted`;
  }
  const was = before.geometry;
  const is = now.geometry;
  if (is.blockSize !== was.blockSize) return `block size is ${is.blockSize}, ${was.blockSize} was wanted`;
  if (is.size < was.size) return `size is ${is.size}, at least ${was.size} was wanted`;
  for (const feature of ["readOnly", "fua", "trim", "zero", "extents"] as const) {
    if (is[feature] !== was[feature]) return `feature ${feature} is ${is[feature]}, ${was[feature]} was wanted`;
  }
  return undefined;
}
