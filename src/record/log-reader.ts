import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { SkinkError } from "../block/errors.ts";
import { blockDeviceSize } from "../os/block-device.ts";
import { decodeEntry, decodeSuper, type LogEntry, PROLOGUE_BYTES } from "./log-writes.ts";
import { deviceBytesIn, END_MARK, flushDoneIn } from "./own-marks.ts";

/** More than this is refused: each entry of the index takes some 150 bytes of memory. */
const MAX_ENTRIES = 20_000_000;
/** Entries are read so much at a time. */
const WINDOW_BYTES = 64 << 10;

interface Mutable {
  answeredAt: number;
}

/**
 * A log in the format of dm-log-writes: its entries in memory, their data in the file. Made by Skink, or by the kernel on a
 * device.
 */
export class LogWritesReader {
  readonly path: string;
  /** Bytes. */
  readonly sectorSize: number;
  readonly entries: readonly LogEntry[];
  /** The size of the device that was recorded, where the log tells; that of the largest, if it has grown. */
  readonly deviceBytes: number | undefined;
  /** It was made by Skink, and did not come to an end in order: its disk was full, say, or its front was killed, or still runs. */
  readonly brokeOff: boolean;
  /** Why entries are missing at the end that the log says it has; one line. They are lost, those before are whole. */
  readonly cutOff: string | undefined;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
    const stat = fstatSync(fd);
    if (!stat.isFile() && !stat.isBlockDevice()) throw this.#bad("it is neither a file nor a block device");
    const bytes = stat.isBlockDevice() ? blockDeviceSize(fd) : stat.size;
    const start = Buffer.alloc(PROLOGUE_BYTES);
    const header = decodeSuper(start.subarray(0, readSync(fd, start, 0, start.length, 0)));
    if (typeof header === "string") throw this.#bad(header);
    if (header.entries > MAX_ENTRIES) throw this.#bad(`it has ${header.entries} entries, over ${MAX_ENTRIES}`);
    this.sectorSize = header.sectorSize;
    const { entries, cutOff } = this.#index(header.entries, bytes);
    this.entries = entries;
    this.cutOff = cutOff;
    const sizes = entries.map(({ mark }) => (mark === undefined ? undefined : deviceBytesIn(mark)));
    this.brokeOff = sizes.some((size) => size !== undefined) && entries.at(-1)?.mark !== END_MARK;
    this.deviceBytes = sizes.reduce((a, b) => (b === undefined ? a : Math.max(a ?? 0, b)), undefined);
  }

  /** Reads the whole index, and waits for it. Throws `bad-log`. To be closed. */
  static open(path: string): LogWritesReader {
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const what = code === "ENOENT" ? "there is no such file" : (code ?? message);
      throw new SkinkError("bad-log", `Cannot read the log ${path}: ${what}, a log of writes was wanted`, {
        cause: error,
      });
    }
    try {
      return new LogWritesReader(path, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /**
   * Fills `into` with data of `entry`, from byte `from` of it on; all of `into` lies within. Waits for the disk. Throws
   * `bad-log` where the log has become shorter meanwhile.
   */
  data(entry: LogEntry, into: Uint8Array, from = 0): void {
    if (!entry.hasData || from < 0 || from + into.length > entry.length) throw new RangeError("no such data");
    const position = entry.dataPosition + from;
    for (let done = 0; done < into.length; ) {
      const count = readSync(this.#fd, into, done, into.length - done, position + done);
      if (count === 0) this.#lose(position + into.length);
      done += count;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #index(count: number, bytes: number): { entries: LogEntry[]; cutOff: string | undefined } {
    const { sectorSize } = this;
    const window = new Window(this.#fd, Math.max(WINDOW_BYTES, sectorSize));
    const entries: (LogEntry & Mutable)[] = [];
    let position = sectorSize;
    while (entries.length < count) {
      const index = entries.length;
      const cutOff = `it ends at byte ${bytes}, before the end of entry ${index}; it says that it has ${count}`;
      if (position + sectorSize > bytes) return { entries, cutOff };
      const header = decodeEntry(window.at(position, sectorSize) ?? this.#lose(position + sectorSize));
      if (typeof header === "string") throw this.#bad(`entry ${index}, at byte ${position}, is none: ${header}`);
      const hasData = header.length > 0 && !header.discard;
      const dataPosition = position + sectorSize;
      if (hasData && dataPosition + header.length > bytes) return { entries, cutOff };
      entries.push({ ...header, index, hasData, dataPosition, answeredAt: index + 1 });
      position = dataPosition + (hasData ? header.length : 0);
      const flushed = header.mark === undefined ? undefined : entries[flushDoneIn(header.mark) ?? -1];
      if (flushed?.flush === true) flushed.answeredAt = index;
    }
    return { entries, cutOff: undefined };
  }

  #lose(bytes: number): never {
    throw this.#bad(`it has become shorter than ${bytes} bytes`);
  }

  #bad(what: string): SkinkError {
    return new SkinkError("bad-log", `Cannot read the log ${this.path}: ${what}, a log of dm-log-writes was wanted`);
  }
}

/** What was read last, for the small entries that lie in it. */
class Window {
  readonly #fd: number;
  readonly #bytes: Buffer;
  #start = 0;
  #length = 0;

  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.#bytes = Buffer.allocUnsafe(size);
  }

  /** Borrowed until the next call; `undefined` where the file ends before. */
  at(position: number, length: number): Uint8Array | undefined {
    if (position < this.#start || position + length > this.#start + this.#length) {
      this.#start = position;
      this.#length = 0;
      while (this.#length < length) {
        const count = readSync(
          this.#fd,
          this.#bytes,
          this.#length,
          this.#bytes.length - this.#length,
          position + this.#length,
        );
        if (count === 0) break;
        this.#length += count;
      }
    }
    if (position + length > this.#start + this.#length) return undefined;
    return this.#bytes.subarray(position - this.#start, position - this.#start + length);
  }
}
