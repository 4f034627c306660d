import { NbdClient } from "../nbd/client/client.ts";

const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
/** Of each request of the load, how many are writes, in percent. */
const WRITE_PERCENT = 60;

export interface LoadOptions {
  readonly uri: string;
  /** The part of the device that the load uses, from its start. */
  readonly blocks: number;
  readonly queueDepth: number;
  /** After this many writes comes a flush. */
  readonly writesPerFlush: number;
}

export interface LoadResult {
  ios: number;
  /** Requests that were answered with an error. */
  errors: number;
  /** The first error. */
  firstError: string | undefined;
  /** Acknowledged writes that were not there when they were read back. */
  lost: number;
}

/*
 * A load that knows what it has written. Block `b` holds, in each of its sectors, the number of the write it came from:
 *
 *   0       4         8        12                512
 *   | block | version | sector | version, repeated |     little-endian, 32 bits each
 *
 * No two requests in flight concern the same block, so what a read must find is known exactly: the newest acknowledged
 * version. After a write that failed, the block may hold the old or the new one, until the next write.
 */
export class Load {
  readonly result: LoadResult = { ios: 0, errors: 0, firstError: undefined, lost: 0 };
  readonly #options: LoadOptions;
  readonly #client: NbdClient;
  readonly #acknowledged: Uint32Array;
  readonly #issued: Uint32Array;
  readonly #busy: Uint8Array;
  #writes = 0;
  #running = true;
  #lastCompletion = performance.now();
  #longestGapMs = 0;

  static async connect(options: LoadOptions): Promise<Load> {
    return new Load(options, await NbdClient.connect(options.uri));
  }

  private constructor(options: LoadOptions, client: NbdClient) {
    this.#options = options;
    this.#client = client;
    this.#acknowledged = new Uint32Array(options.blocks);
    this.#issued = new Uint32Array(options.blocks);
    this.#busy = new Uint8Array(options.blocks);
  }

  /** Keeps the queue full until `stop`; resolves when its last request is answered. */
  async run(): Promise<void> {
    this.#lastCompletion = performance.now();
    await Promise.all(Array.from({ length: this.#options.queueDepth }, () => this.#work()));
  }

  stop(): void {
    this.#running = false;
  }

  /** The longest time without any completion since the last call, in milliseconds. */
  takeLongestGapMs(): number {
    const gap = this.#longestGapMs;
    this.#longestGapMs = 0;
    return gap;
  }

  /** Flushes, and reads every block back. */
  async verify(): Promise<void> {
    await this.#attempt("flush", () => this.#client.flush());
    let next = 0;
    const work = async (): Promise<void> => {
      const buffers = newBuffers();
      while (next < this.#options.blocks) await this.#read(next++, buffers);
    };
    await Promise.all(Array.from({ length: this.#options.queueDepth }, work));
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #work(): Promise<void> {
    const buffers = newBuffers();
    while (this.#running && this.#client.connected) {
      const block = this.#pick();
      this.#busy[block] = 1;
      if (Math.random() * 100 < WRITE_PERCENT) await this.#write(block, buffers);
      else await this.#read(block, buffers);
      this.#busy[block] = 0;
    }
  }

  #pick(): number {
    for (;;) {
      const block = Math.floor(Math.random() * this.#options.blocks);
      if (this.#busy[block] === 0) return block;
    }
  }

  async #write(block: number, { data, words }: Buffers): Promise<void> {
    const version = (this.#issued[block] ?? 0) + 1;
    this.#issued[block] = version;
    stamp(words, block, version);
    if (await this.#attempt("write", () => this.#client.write(block * BLOCK_BYTES, data))) {
      this.#acknowledged[block] = version;
    }
    if (++this.#writes % this.#options.writesPerFlush === 0) await this.#attempt("flush", () => this.#client.flush());
  }

  async #read(block: number, { data, found, words }: Buffers): Promise<void> {
    if (!(await this.#attempt("read", () => this.#client.readInto(block * BLOCK_BYTES, found)))) return;
    const wanted = this.#acknowledged[block] ?? 0;
    const issued = this.#issued[block] ?? 0;
    for (let version = wanted; version <= issued; version++) {
      stamp(words, block, version);
      if (data.equals(found)) return;
    }
    this.result.lost++;
    // Counted once: from here on the block holds what it holds.
    this.#acknowledged[block] = Math.min(wanted, found.readUInt32LE(4));
  }

  /** Whether it was done. */
  async #attempt(act: string, request: () => Promise<void>): Promise<boolean> {
    try {
      await request();
      this.result.ios++;
      return true;
    } catch (error) {
      this.result.errors++;
      this.result.firstError ??= `${act}: ${error instanceof Error ? error.message : error}`;
      return false;
    } finally {
      const now = performance.now();
      this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastCompletion);
      this.#lastCompletion = now;
    }
  }
}

interface Buffers {
  /** What is written, or expected; `words` is the same memory. */
  readonly data: Buffer;
  readonly words: Uint32Array;
  readonly found: Buffer;
}

function newBuffers(): Buffers {
  const words = new Uint32Array(BLOCK_BYTES / 4);
  return { words, data: Buffer.from(words.buffer), found: Buffer.alloc(BLOCK_BYTES) };
}

/** Version 0 is a block that was never written: zeroes. */
function stamp(words: Uint32Array, block: number, version: number): void {
  words.fill(version);
  if (version === 0) return;
  for (let sector = 0; sector < BLOCK_BYTES / SECTOR_BYTES; sector++) {
    words[(sector * SECTOR_BYTES) / 4] = block;
    words[(sector * SECTOR_BYTES) / 4 + 2] = sector;
  }
}
