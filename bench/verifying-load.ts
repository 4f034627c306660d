import type { NbdClient } from "../src/nbd/index.ts";

const BLOCK_BYTES = 4096;
/** Each lane has blocks of its own, so that what it reads has to be exactly what it wrote last. */
const BLOCKS_PER_LANE = 1024;
const OPERATIONS_PER_FLUSH = 32;
/** Of the operations that are no flushes, one in so many reads a block back. */
const READ_ONE_IN = 4;
const MAX_REMEMBERED_FAILURES = 10;

/** What the load needs of a client. */
type Client = Pick<NbdClient, "readInto" | "write" | "flush">;

/** A load of so many requests in flight that notices each error and each lost write, and how long nothing came back. */
export class VerifyingLoad {
  readonly failures: string[] = [];
  /** Requests answered without an error. */
  completed = 0;
  readonly #client: Client;
  /** Of each lane, which block is next. */
  readonly #randoms: readonly (() => number)[];
  readonly #versions: Uint32Array;
  #running: Promise<void>[] = [];
  #stopping = false;
  #lastAt = 0;
  #longestGapMs = 0;
  #waiting: (() => void)[] = [];

  /** Nothing runs yet. */
  constructor(client: Client, depth: number) {
    this.#client = client;
    this.#versions = new Uint32Array(depth * BLOCKS_PER_LANE);
    this.#randoms = Array.from({ length: depth }, (_, lane) => pseudoRandom(lane + 1));
  }

  /** Starts it, or goes on with it. A load that has failed stays at rest. */
  resume(): void {
    if (this.failures.length > 0) return;
    this.#stopping = false;
    this.#lastAt = performance.now();
    this.#running = this.#randoms.map((random, lane) => this.#run(lane, random));
  }

  /** Resolves when nothing is in flight any more. */
  async pause(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** From here on the longest gap is looked for anew; it may have begun before. */
  watchGap(): void {
    this.#longestGapMs = 0;
  }

  /** The longest time between two completions, with at least one of them since {@link watchGap}. */
  get longestGapMs(): number {
    return this.#longestGapMs;
  }

  /** Resolves with the next completion of a load that runs, or when it has failed. */
  nextCompletion(): Promise<void> {
    if (this.failures.length > 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends the load, then reads back every block that it wrote. */
  async finish(): Promise<void> {
    await this.pause();
    const into = new Uint8Array(BLOCK_BYTES);
    for (const [block, version] of this.#versions.entries()) {
      if (version === 0) continue;
      try {
        await this.#client.readInto(block * BLOCK_BYTES, into);
      } catch (error) {
        return this.#failed(`Cannot read back block ${block}: ${messageOf(error)}`);
      }
      this.#verify(block, into);
    }
  }

  async #run(lane: number, random: () => number): Promise<void> {
    const first = lane * BLOCKS_PER_LANE;
    const bytes = new Uint8Array(BLOCK_BYTES);
    try {
      for (let turn = 1; !this.#stopping; turn++) {
        const block = first + (random() % BLOCKS_PER_LANE);
        const version = this.#versions[block] ?? 0;
        if (turn % OPERATIONS_PER_FLUSH === 0) {
          await this.#client.flush();
        } else if (version > 0 && random() % READ_ONE_IN === 0) {
          await this.#client.readInto(block * BLOCK_BYTES, bytes);
          this.#verify(block, bytes);
        } else {
          fill(bytes, block, version + 1);
          await this.#client.write(block * BLOCK_BYTES, bytes);
          this.#versions[block] = version + 1;
        }
        this.#complete();
      }
    } catch (error) {
      this.#failed(messageOf(error));
    }
  }

  #verify(block: number, bytes: Uint8Array): void {
    const version = this.#versions[block] ?? 0;
    const expected = new Uint8Array(BLOCK_BYTES);
    fill(expected, block, version);
    if (Buffer.compare(expected, bytes) === 0) return;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, 2);
    this.#failed(`Block ${block} lost version ${version}: it holds block ${words[0]}, version ${words[1]}`);
  }

  #complete(): void {
    const now = performance.now();
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAt);
    this.#lastAt = now;
    this.completed++;
    this.#wake();
  }

  #failed(what: string): void {
    this.#stopping = true;
    if (this.failures.length < MAX_REMEMBERED_FAILURES) this.failures.push(what);
    this.#wake();
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Block number and version, over and over. */
function fill(bytes: Uint8Array, block: number, version: number): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, BLOCK_BYTES / 4);
  words[0] = block;
  words[1] = version;
  for (let filled = 2; filled < words.length; filled *= 2) words.copyWithin(filled, 0, filled);
}

/** xorshift32 (Marsaglia, "Xorshift RNGs"): 32 bits, never 0. */
function pseudoRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
