import type { LogSink } from "./log-file.ts";
import { type EntryHeader, encodeEntry, encodeSuper, maxMarkBytes } from "./log-writes.ts";

/** With so much that is not in the file yet, a writer is full: who can should wait for room. */
export const BUFFER_LIMIT_BYTES = 64 << 20;
/** Entries are gathered in pieces of memory of this size. */
const CHUNK_BYTES = 1 << 20;
/** Of those so many are kept for what comes. */
const SPARE_CHUNKS = 4;
/**
 * A longer range becomes several entries. Of replay-log's own measures: it skips a longer discard where the target can't
 * discard, and takes as much memory as an entry has data.
 */
export const MAX_ENTRY_BYTES = 128 << 20;
/** … but not more than so many, each of which takes a sector in memory and a block on the disk: then they are longer. */
export const MAX_ENTRIES_EACH = 1024;

const PLAIN: EntryHeader = {
  offset: 0,
  length: 0,
  flush: false,
  fua: false,
  discard: false,
  metadata: false,
  mark: undefined,
};

/** A mark's place in the log, which may become a flush: see {@link LogWriter.becomeFlush}. */
export interface Place {
  readonly index: number;
  readonly position: number;
}

/** Bytes that stand one behind the other in the file and in a chunk. */
interface Run {
  readonly position: number;
  readonly chunk: Buffer;
  readonly start: number;
  length: number;
}

/** What is written at once. */
interface Batch {
  readonly runs: Run[];
  /** The memory of its runs. The last one has `used` bytes taken, the others all. */
  readonly chunks: Buffer[];
  used: number;
  /** Sectors that were written before, and are now otherwise. */
  readonly patches: { readonly position: number; readonly sector: Buffer }[];
  readonly waiters: (() => void)[];
}

/**
 * Writes a log of dm-log-writes. Entries get their place at once, in the order of the calls, and reach the file behind the
 * caller's back; after each batch the super block is brought up to date, so that a log that ends without `close` has whole
 * entries only.
 *
 *   append ─▶ chunks in memory ─▶ the file: entries, then nr_entries, then flushes that were answered ─▶ whenWritten
 */
export class LogWriter {
  readonly #sink: LogSink;
  readonly #sectorSize: number;
  readonly #failed: (error: Error) => void;
  #entries = 0;
  /** Where the next entry goes. */
  #position: number;
  #batch = newBatch();
  #spare: Buffer[] = [];
  #roomWaiters: (() => void)[] = [];
  #bufferedBytes = 0;
  #changed = true;
  #running: Promise<void> | undefined;
  #over = false;

  /** `sectorSize`: bytes. `failed`: called once if the sink fails; the log ends there, and what is appended later is dropped. */
  constructor(sink: LogSink, sectorSize: number, failed: (error: Error) => void) {
    this.#sink = sink;
    this.#sectorSize = sectorSize;
    this.#failed = failed;
    this.#position = sectorSize;
    this.#start();
  }

  /** More is waiting to be written than BUFFER_LIMIT_BYTES. */
  get full(): boolean {
    return this.#bufferedBytes >= BUFFER_LIMIT_BYTES;
  }

  /** The longest text of a mark. */
  get maxMarkBytes(): number {
    return maxMarkBytes(this.#sectorSize);
  }

  /** How many entries there are so far. */
  get entries(): number {
    return this.#entries;
  }

  /** `data`: all of it together `length` bytes; copied before this returns. */
  write(offset: number, length: number, fua: boolean, data: Iterable<Uint8Array>): void {
    if (this.#over) return;
    this.#entry({ ...PLAIN, offset, length, fua });
    for (const bytes of data) this.#put(bytes);
  }

  /** A write of zeroes, which stay a hole in the file: a discard would leave open what is read afterwards. */
  zero(offset: number, length: number, fua: boolean): void {
    for (const [at, bytes] of this.#parts(offset, length)) {
      if (this.#over) return;
      this.#entry({ ...PLAIN, offset: at, length: bytes, fua });
      this.#position += bytes;
    }
  }

  trim(offset: number, length: number, fua: boolean): void {
    for (const [at, bytes] of this.#parts(offset, length)) {
      if (this.#over) return;
      this.#entry({ ...PLAIN, offset: at, length: bytes, fua, discard: true });
    }
  }

  /** A text of at most `maxMarkBytes`. */
  mark(text: string): Place {
    const place = { index: this.#entries, position: this.#position };
    if (!this.#over) this.#entry({ ...PLAIN, mark: text });
    return place;
  }

  /** Makes a flush of a mark: it has succeeded, and covers what is before it. */
  becomeFlush(place: Place): void {
    this.#replace(place, { ...PLAIN, flush: true });
  }

  /** Gives a mark another text. */
  becomeMark(place: Place, text: string): void {
    this.#replace(place, { ...PLAIN, mark: text });
  }

  /** Calls back, from the event loop, when everything so far is in the file, or nothing more will be. */
  whenWritten(callback: () => void): void {
    if (this.#over) setImmediate(callback);
    else this.#batch.waiters.push(callback);
    this.#start();
  }

  /** Calls back, from the event loop, when it isn't full any more. */
  whenRoom(callback: () => void): () => void {
    this.#roomWaiters.push(callback);
    return () => {
      this.#roomWaiters = this.#roomWaiters.filter((other) => other !== callback);
    };
  }

  /** Writes what there is, and closes the sink. Nothing may be appended any more. Never rejects: see `failed`. */
  async close(): Promise<void> {
    await this.#running;
    this.#over = true;
    await this.#sink.close().catch(() => {});
  }

  /** Offset and length of each part. */
  *#parts(offset: number, length: number): Generator<[number, number]> {
    const sectors = Math.ceil(length / this.#sectorSize / MAX_ENTRIES_EACH);
    const most = Math.max(MAX_ENTRY_BYTES, sectors * this.#sectorSize);
    for (let done = 0; done < length; done += most) yield [offset + done, Math.min(most, length - done)];
  }

  #entry(header: EntryHeader): void {
    const run = this.#runWith(this.#sectorSize);
    encodeEntry(header, this.#sectorSize, run.chunk.subarray(run.start + run.length));
    this.#advance(run, this.#sectorSize);
    this.#entries++;
    this.#start();
  }

  #put(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const run = this.#runWith(1);
      const at = run.start + run.length;
      const count = Math.min(bytes.length - done, run.chunk.length - at);
      run.chunk.set(bytes.subarray(done, done + count), at);
      this.#advance(run, count);
      done += count;
    }
  }

  /** The one that the next bytes go to, with room for so many in a row. */
  #runWith(bytes: number): Run {
    const batch = this.#batch;
    if (batch.chunks.length === 0 || batch.used + bytes > CHUNK_BYTES) {
      batch.chunks.push(this.#spare.pop() ?? Buffer.allocUnsafe(CHUNK_BYTES));
      batch.used = 0;
    }
    const chunk = batch.chunks.at(-1) as Buffer;
    const last = batch.runs.at(-1);
    // Between two runs of a chunk there is a hole in the file.
    if (last?.chunk === chunk && last.position + last.length === this.#position) return last;
    const run = { position: this.#position, chunk, start: batch.used, length: 0 };
    batch.runs.push(run);
    return run;
  }

  #advance(run: Run, bytes: number): void {
    run.length += bytes;
    this.#batch.used += bytes;
    this.#position += bytes;
    this.#bufferedBytes += bytes;
  }

  #replace({ position }: Place, header: EntryHeader): void {
    if (this.#over) return;
    const run = this.#batch.runs.findLast((run) => run.position <= position);
    if (run !== undefined) {
      encodeEntry(header, this.#sectorSize, run.chunk.subarray(run.start + position - run.position));
    } else {
      const sector = Buffer.allocUnsafe(this.#sectorSize);
      encodeEntry(header, this.#sectorSize, sector);
      this.#batch.patches.push({ position, sector });
      this.#bufferedBytes += sector.length;
    }
    this.#start();
  }

  #start(): void {
    this.#changed = true;
    if (this.#over) return;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    while (this.#changed && !this.#over) {
      // What comes in the same turn of the event loop goes with it.
      await new Promise(setImmediate);
      this.#changed = false;
      const batch = this.#batch;
      this.#batch = newBatch();
      try {
        await this.#write(batch, this.#entries, this.#position);
      } catch (error) {
        this.#giveUp(error as Error);
      }
      callAll(batch.waiters);
    }
    this.#running = undefined;
  }

  /** What came meanwhile is dropped too. */
  #giveUp(error: Error): void {
    const { waiters } = this.#batch;
    this.#over = true;
    this.#batch = newBatch();
    this.#bufferedBytes = 0;
    this.#failed(error);
    setImmediate(() => callAll(waiters));
    this.#tellRoom();
  }

  /** `entries`, `end`: how many there are then, and where the last one ends. */
  async #write({ runs, chunks, patches }: Batch, entries: number, end: number): Promise<void> {
    for (const { position, chunk, start, length } of runs) {
      await this.#sink.write(chunk.subarray(start, start + length), position);
      this.#written(length);
    }
    await this.#sink.extend(end);
    await this.#sink.write(encodeSuper({ entries, sectorSize: this.#sectorSize }), 0);
    // Not before the log has the entries that tell when a flush was answered: else it would seem to have been earlier.
    for (const { position, sector } of patches) {
      await this.#sink.write(sector, position);
      this.#written(sector.length);
    }
    this.#spare.push(...chunks.slice(0, SPARE_CHUNKS - this.#spare.length));
  }

  #written(bytes: number): void {
    this.#bufferedBytes -= bytes;
    this.#tellRoom();
  }

  #tellRoom(): void {
    if (this.full) return;
    callAll(this.#roomWaiters.splice(0));
  }
}

function newBatch(): Batch {
  return { runs: [], chunks: [], used: 0, patches: [], waiters: [] };
}

function callAll(callbacks: readonly (() => void)[]): void {
  for (const callback of callbacks) callback();
}
