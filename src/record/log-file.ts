import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { SkinkError } from "../block/errors.ts";
import { lockExclusive } from "../os/lock.ts";

/** A file that is replaced stays as it is until something is written. And who opens a pipe does not wait for a reader. */
const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK;

/** What a log is written to: a regular file, as far as this writer needs it. */
export interface LogSink {
  /** Writes all of it, from byte `position` on. `bytes` are borrowed until it settles. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Makes it so long: what is new reads as zeroes, and takes no place on the disk. */
  extend(bytes: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * A file for a log. Rejects with `log-file` where it can't be made, is there already and isn't to be replaced (`force`), is being
 * written by somebody else, or is no regular file: zeroes of a recording are holes.
 */
export async function createLogFile(path: string, force: boolean): Promise<LogFile> {
  const bad = (what: string, wanted: string, cause?: unknown): SkinkError =>
    new SkinkError("log-file", `Cannot record to ${path}: ${what}, ${wanted} was wanted`, { cause });
  const { file, isNew } = await openFile(path, force).catch((error: NodeJS.ErrnoException) => {
    const { code, message } = error;
    if (code === "EEXIST") throw bad("it is there already", "a new file or --force", error);
    throw bad(code ?? message, "a new file", error);
  });
  const refusal = (await file.stat()).isFile()
    ? lockExclusive(file.fd)
      ? undefined
      : bad("it is in use", "a file of its own")
    : bad("it is not a regular file", "a file");
  if (refusal === undefined) return new LogFile(path, file, isNew);
  await file.close();
  throw refusal;
}

async function openFile(path: string, force: boolean): Promise<{ readonly file: FileHandle; readonly isNew: boolean }> {
  try {
    return { file: await open(path, FLAGS | constants.O_EXCL), isNew: true };
  } catch (error) {
    if (!force || (error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return { file: await open(path, FLAGS), isNew: false };
  }
}

/** Locked, so that two recordings don't share it. */
export class LogFile implements LogSink {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #isNew: boolean;
  #isEmpty = false;
  #bytes = 0;

  /** `isNew`: nothing was there before. */
  constructor(path: string, file: FileHandle, isNew: boolean) {
    this.#path = path;
    this.#file = file;
    this.#isNew = isNew;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    await this.#empty();
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position + done);
      if (bytesWritten === 0) throw new Error("nothing could be written");
      done += bytesWritten;
    }
    this.#bytes = Math.max(this.#bytes, position + bytes.length);
  }

  async extend(bytes: number): Promise<void> {
    await this.#empty();
    if (bytes <= this.#bytes) return;
    await this.#file.truncate(bytes);
    this.#bytes = bytes;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** Instead of `close`, where nothing was written: leaves what was there before, nothing as a rule. */
  async abandon(): Promise<void> {
    if (this.#isNew) await rm(this.#path, { force: true });
    await this.#file.close();
  }

  async #empty(): Promise<void> {
    if (this.#isEmpty) return;
    this.#isEmpty = true;
    await this.#file.truncate(0);
  }
}
