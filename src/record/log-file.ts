import { type FileHandle, open } from "node:fs/promises";
import { SkinkError } from "../block/errors.ts";

/** What a log is written to: a regular file, as far as this writer needs it. */
export interface LogSink {
  /** Writes all of it, from byte `position` on. `bytes` are borrowed until it settles. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Makes it so long: what is new reads as zeroes, and takes no place on the disk. */
  extend(bytes: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * A new file for a log. Rejects with `log-file` where it can't be made, is there already and isn't to be replaced (`force`), or
 * is no regular file: zeroes of a recording are holes.
 */
export async function createLogFile(path: string, force: boolean): Promise<LogSink> {
  const bad = (what: string, wanted: string, cause?: unknown): SkinkError =>
    new SkinkError("log-file", `Cannot record to ${path}: ${what}, ${wanted} was wanted`, { cause });
  let file: FileHandle;
  try {
    file = await open(path, force ? "w" : "wx");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw bad("it is there already", "a new file or --force", error);
    throw bad(code ?? message, "a new file", error);
  }
  if ((await file.stat()).isFile()) return new FileSink(file);
  await file.close();
  throw bad("it is not a regular file", "a file");
}

class FileSink implements LogSink {
  readonly #file: FileHandle;
  #bytes = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position + done);
      if (bytesWritten === 0) throw new Error("nothing could be written");
      done += bytesWritten;
    }
    this.#bytes = Math.max(this.#bytes, position + bytes.length);
  }

  async extend(bytes: number): Promise<void> {
    if (bytes <= this.#bytes) return;
    await this.#file.truncate(bytes);
    this.#bytes = bytes;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
