import { strict as assert } from "node:assert";
import { MIN_BLOCK_SIZE, overlaps } from "../block/geometry.ts";
import { type Memory, type Payload, slotBytes } from "../block/memory.ts";
import type { Request } from "../block/request.ts";
import { checksum } from "./checksum.ts";
import { Operation } from "./operation.ts";
import type { DriverRef, Random } from "./ports.ts";
import type { Submissions } from "./submissions.ts";

/** How many durable blocks are remembered. */
export const SAMPLED_BLOCKS = 16;
/** How many are read before another driver takes over. */
const LEARNED_READS = 64;
/** Once that many are, one durable block in so many takes the place of another. */
const BLOCKS_PER_SAMPLE = 64;
/**
 * The beginning of a block stands for it: no store tears as little as this. A larger block may be half old and half new when its
 * driver was killed in the middle of a write, and its store be the same all the same.
 */
const DIGESTED_BYTES = MIN_BLOCK_SIZE;
/** With so many incarnations that died while it was read, a block may be what they die of: it is not read any more. */
const SUSPICIOUS_DEATHS = 2;
/** How many contents a block may have before it is not remembered any more. */
const MAX_CONTENTS = 8;

interface SampledBlock {
  readonly offset: number;
  /** Digests of what the store may hold there: what was durable last, and what was written since. */
  contents: number[];
  /** How many incarnations died while it was read, in a row. */
  deaths: number;
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
  /** What is to be read when one of those is over. */
  #queue: SampledBlock[] = [];
  #submissions: Submissions | undefined;
  /** Blocks that are read to be remembered, not compared, and are not known yet. */
  readonly #unlearned = new Set<SampledBlock>();
  /**
   * What is known of a store by reading alone: it may be what a trim left. So it only helps to judge the first incarnation that
   * comes after, and more of it has to be wrong than right.
   */
  #learned: SampledBlock[] = [];
  /** Who was asked for it. */
  #learnedFrom: DriverRef | undefined;
  /** Of these, those whose read has failed once. */
  readonly #readAgain = new Set<SampledBlock>();
  /** Whose incarnation this is, or was the last. */
  #driver: DriverRef | undefined;
  #comparing = false;
  readonly #verifies: boolean;
  /** Of the blocks that are compared now: those that were not what they have to be, and how many were. */
  #wrong: SampledBlock[] = [];
  #right: SampledBlock[] = [];

  /** `verifies`: reads are verified anyway, so that a block that is wrong may be a lie, and be found out when it is read. */
  constructor(blockSize: number, memory: Memory, random: Random, verifies: boolean) {
    this.#blockSize = blockSize;
    this.#verifies = verifies;
    this.#random = random;
    const payload = memory.allocate(SAMPLED_BLOCKS * blockSize);
    assert(payload !== undefined, "there is no memory for checking the store");
    this.#payload = payload;
    this.#zeroes = checksum(new Uint8Array(DIGESTED_BYTES));
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
    const block = { offset, contents: [digestAt(offset)], deaths: 0 };
    if (this.#blocks.length < SAMPLED_BLOCKS) this.#blocks.push(block);
    else this.#blocks[this.#random.below(this.#blocks.length)] = block;
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

  /** What a range holds says nothing about the store any more. */
  forget(offset: number, length: number): void {
    this.#blocks = this.#blocks.filter((block) => !this.#within(block, offset, length));
  }

  /** Ranges are of whole blocks. */
  #within(block: SampledBlock, offset: number, length: number): boolean {
    return block.offset >= offset && block.offset < offset + length;
  }

  /**
   * Reads the remembered blocks by an incarnation of `driver`. False if there are none. `mayKill`: whether reading this range may be
   * what one has died of.
   */
  start(submissions: Submissions, driver: DriverRef, mayKill: (offset: number, length: number) => boolean): boolean {
    this.#driver = driver;
    const readable = this.#blocks.filter(
      ({ deaths, offset }) => deaths < SUSPICIOUS_DEATHS && !mayKill(offset, this.#blockSize),
    );
    this.#comparing = true;
    this.#read(submissions, readable);
    return this.busy;
  }

  /**
   * Before another driver takes over: reads blocks all over a store at rest, to know it by, beside those that are remembered. Blocks of
   * zeroes, which any empty store has as well, only where there are no others. `mayBeLost`: of a range of whole blocks, whether it may not
   * be durable.
   */
  learn(submissions: Submissions, size: number, mayBeLost: (offset: number, length: number) => boolean): void {
    const blocks = size / this.#blockSize;
    const step = Math.max(1, Math.floor(blocks / LEARNED_READS));
    const first = this.#random.below(step);
    const offsets = Array.from(
      { length: Math.min(LEARNED_READS, blocks) },
      (_, i) => (first + i * step) * this.#blockSize,
    );
    const unknown = offsets.filter(
      (offset) =>
        !mayBeLost(offset, this.#blockSize) &&
        !this.#blocks.some((block) => this.#within(block, offset, this.#blockSize)),
    );
    const learned = unknown.map((offset): SampledBlock => ({ offset, contents: [], deaths: 0 }));
    for (const block of learned) this.#unlearned.add(block);
    this.#learned = learned;
    this.#learnedFrom = this.#driver;
    this.#comparing = false;
    this.#blocks.push(...learned);
    this.#read(submissions, learned);
  }

  /** All are read: as many stay as are remembered at other times, those that tell most. */
  #choose(): void {
    const learned = this.#learned.filter((block) => this.#blocks.includes(block));
    const isZeroes = ({ contents }: SampledBlock): number => (contents.includes(this.#zeroes) ? 1 : 0);
    const given = learned.sort((a, b) => isZeroes(a) - isZeroes(b)).slice(SAMPLED_BLOCKS);
    this.#blocks = this.#blocks.filter((block) => !given.includes(block));
    this.#learned = learned.filter((block) => !given.includes(block));
  }

  /** Reads a block, to see that the driver can: one that was read well before, or any; not of the suspect's, unless that has all. */
  control(
    submissions: Submissions,
    size: number,
    suspect: Operation | undefined,
    readWell: number | undefined,
  ): Operation {
    const any = readWell ?? this.#random.below(size / this.#blockSize) * this.#blockSize;
    const isSuspect = suspect !== undefined && overlaps(suspect.offset, suspect.length, any, this.#blockSize);
    const offset = isSuspect ? (suspect.offset + suspect.length) % size : any;
    const control = Operation.forCheck(offset, this.#blockSize);
    submissions.issueCheck(control, this.#payload, 0);
    return control;
  }

  #read(submissions: Submissions, blocks: readonly SampledBlock[]): void {
    this.#wrong = [];
    this.#right = [];
    this.#submissions = submissions;
    this.#queue = [...blocks];
    const atOnce = Math.min(SAMPLED_BLOCKS, submissions.depth);
    for (let i = 0; i < atOnce; i++) this.#readNext(i * this.#blockSize);
  }

  #readNext(position: number): void {
    const block = this.#queue.shift();
    if (block === undefined) return;
    const check = Operation.forCheck(block.offset, this.#blockSize);
    this.#pending.push({ check, block, position });
    this.#submissions?.issueCheck(check, this.#payload, position);
  }

  /**
   * The incarnation is lost, and its reads with it. What had not been learned isn't known. `mayKill`: whether they may have been
   * the cause.
   */
  lose(mayKill: boolean): void {
    this.#blocks = this.#blocks.filter((block) => !this.#unlearned.has(block));
    this.#unlearned.clear();
    if (this.#comparing) this.#dropLearned();
    this.#queue = [];
    this.#submissions = undefined;
    if (mayKill) for (const { block } of this.#pending) block.deaths++;
    this.#pending = [];
  }

  get busy(): boolean {
    return this.#pending.length > 0;
  }

  /**
   * One of its reads is over. Returns what is wrong. A read that failed says nothing either way, but where a newcomer fails twice to
   * read what the driver before it could: an empty store may have nothing there.
   */
  finished(operation: Operation): string | undefined {
    const index = this.#pending.findIndex(({ check }) => check === operation);
    const [done] = this.#pending.splice(index, 1);
    assert(done !== undefined);
    const { block, position } = done;
    block.deaths = 0;
    const found = operation.errno === 0 ? digest(this.#payload, position) : undefined;
    const isLearned = this.#learned.includes(block) && !this.#unlearned.has(block);
    // One error may be over in a moment, and a newcomer isn't turned away for it.
    const isReadAgain = isLearned && found === undefined && !this.#readAgain.has(block);
    if (isReadAgain) {
      this.#readAgain.add(block);
      this.#queue.push(block);
    }
    this.#readNext(position);
    if (isReadAgain) return undefined;
    if (this.#unlearned.delete(block)) {
      // A block that can't be read tells nothing.
      if (found !== undefined) block.contents.push(found);
      else this.#blocks = this.#blocks.filter((other) => other !== block);
      if (!this.busy) this.#choose();
      return undefined;
    }
    if (found !== undefined && block.contents.includes(found)) this.#right.push(block);
    else if (found !== undefined || (isLearned && this.#driver !== this.#learnedFrom)) this.#wrong.push(block);
    return this.#judged();
  }

  /** One wrong block makes another store; where it may be a lie, it takes as many as are right. */
  #judged(): string | undefined {
    const wrong = this.#wrong.filter((block) => !this.#learned.includes(block));
    const right = this.#right.length - this.#right.filter((block) => this.#learned.includes(block)).length;
    const [first] = wrong;
    if (first !== undefined && (!this.#verifies || (!this.busy && wrong.length >= right))) {
      return `the block at ${first.offset}, durable before, has other contents`;
    }
    if (this.busy) return undefined;
    const other = this.#otherThanLearned();
    this.#dropLearned();
    this.#blocks = this.#blocks.filter((block) => !wrong.includes(block));
    return other;
  }

  /** Blocks of zeroes, which most stores have, don't count for a store where others speak against it. */
  #otherThanLearned(): string | undefined {
    const count = (blocks: readonly SampledBlock[], counts: (block: SampledBlock) => boolean): number =>
      blocks.filter((block) => this.#learned.includes(block) && counts(block)).length;
    const isData = ({ contents }: SampledBlock): boolean => !contents.includes(this.#zeroes);
    const isOther = [isData, () => true].some((counts) => count(this.#wrong, counts) > count(this.#right, counts));
    return isOther ? "blocks all over it have other contents than before, or can't be read any more" : undefined;
  }

  #dropLearned(): void {
    this.#blocks = this.#blocks.filter((block) => !this.#learned.includes(block));
    this.#learned = [];
    this.#readAgain.clear();
    this.#comparing = false;
  }
}

function digest(payload: Payload, position: number): number {
  return checksum(slotBytes(payload, position, DIGESTED_BYTES));
}
