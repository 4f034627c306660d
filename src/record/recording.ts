import { type Errno, SkinkError } from "../block/errors.ts";
import type { Geometry } from "../block/geometry.ts";
import type { LogSink } from "./log-file.ts";
import { LogWriter, type Place } from "./log-writer.ts";
import { OWN_MARK } from "./log-writes.ts";
import { deviceMark, END_MARK, FLUSH_BEGUN_MARK, failedMark, flushDoneMark, flushFailedMark } from "./own-marks.ts";

export type WriterKind = "write" | "zero" | "trim";

/**
 * One log, and what it says of a device, in the order of the answers: a writer where it succeeded, a flush where it *arrived*,
 * since it makes durable what had been answered by then. Where later writers overtook it, a mark tells when it was answered.
 *
 * A log that can't be written any more ends; the device goes on without it.
 */
export class Recording {
  readonly path: string;
  readonly #writer: LogWriter;
  #size = -1;
  #failure: string | undefined;

  /**
   * Takes `sink`, to close it. `path`: its name, for people. `blockSize`: the device's, in bytes. `failed`: called if the log
   * ends before its time, with one line.
   */
  constructor(sink: LogSink, path: string, blockSize: number, failed: (line: string) => void) {
    this.path = path;
    this.#writer = new LogWriter(sink, blockSize, ({ message }) => {
      this.#failure = `Cannot record to ${path} any more: ${message}; the log ends here, the device goes on`;
      failed(this.#failure);
    });
  }

  /** Why it ended before its time. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Much of it waits to be written: clients should be made to wait. */
  get full(): boolean {
    return this.#writer.full;
  }

  /** Says how large the device is, if that isn't known yet. Before everything else. */
  device({ size, blockSize }: Pick<Geometry, "size" | "blockSize">): void {
    if (size === this.#size) return;
    this.#size = size;
    this.#writer.mark(deviceMark(size, blockSize));
  }

  /** A writer has succeeded. `offset`, `length`: bytes. `data`: of a write, all of it; copied before this returns. */
  done(kind: WriterKind, offset: number, length: number, fua: boolean, data: Iterable<Uint8Array>): void {
    if (length === 0) return;
    if (kind === "write") this.#writer.write(offset, length, fua, data);
    else if (kind === "zero") this.#writer.zero(offset, length, fua);
    else this.#writer.trim(offset, length, fua);
  }

  /**
   * A writer that was tried got an error. What it leaves is not known, and its data isn't recorded; the mark says where that is.
   */
  failed(kind: WriterKind, errno: Errno, offset: number, length: number): void {
    this.#writer.mark(failedMark(kind, errno, offset, length));
  }

  /** A flush has arrived. */
  flushBegun(): Place {
    return this.#writer.mark(FLUSH_BEGUN_MARK);
  }

  /** It was answered. */
  flushEnded(place: Place, errno: Errno): void {
    if (errno !== 0) return this.#writer.becomeMark(place, flushFailedMark(errno));
    this.#writer.becomeFlush(place);
    if (this.#writer.entries > place.index + 1) this.#writer.mark(flushDoneMark(place.index));
  }

  /** Something of our own to say. */
  ownMark(text: string): void {
    this.#writer.mark(text);
  }

  /** Resolves when it is in the log, behind everything answered before. Rejects with `bad-mark` or `recording-ended`. */
  async mark(text: string): Promise<void> {
    const limit = this.#writer.maxMarkBytes;
    const bytes = Buffer.byteLength(text);
    const is =
      bytes === 0 || bytes > limit
        ? `it has ${bytes} bytes`
        : /\p{Cc}/u.test(text)
          ? "it has control characters"
          : text.startsWith(OWN_MARK)
            ? `it begins with ${JSON.stringify(OWN_MARK)}, as Skink's own do`
            : undefined;
    if (is !== undefined) {
      const wanted = `a text of 1 to ${limit} bytes was wanted`;
      throw new SkinkError("bad-mark", `Cannot mark ${JSON.stringify(text.slice(0, 40))}: ${is}, ${wanted}`);
    }
    if (this.#failure === undefined) {
      this.#writer.mark(text);
      await new Promise<void>((resolve) => this.#writer.whenWritten(resolve));
    }
    if (this.#failure !== undefined) throw new SkinkError("recording-ended", this.#failure);
  }

  /** Calls back, from the event loop, when everything so far is in the log, or it has ended. */
  whenWritten(callback: () => void): void {
    this.#writer.whenWritten(callback);
  }

  /** Calls back once, from the event loop, when it isn't full any more. Returns a way not to be called. */
  whenRoom(callback: () => void): () => void {
    return this.#writer.whenRoom(callback);
  }

  /** Nothing comes any more. Resolves when everything is in the log. */
  async close(): Promise<void> {
    this.#writer.mark(END_MARK);
    await this.#writer.close();
  }
}
