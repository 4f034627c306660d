import fs from "node:fs";
import type { LogFile } from "./log/disk-log.ts";
import { HEADER_BYTES } from "./log/format.ts";

/**
 * The file or block device behind `fd`, which stays its opener's. Reads wait for the disk, as nothing else goes on before a log is
 * taken up; writes and syncs are the thread pool's.
 */
export class OpenLogFile implements LogFile {
  readonly size: number;
  readonly #fd: number;
  #buffer = Buffer.allocUnsafe(HEADER_BYTES);

  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.size = size;
  }

  read(position: number, length: number): Uint8Array {
    if (this.#buffer.length < length) this.#buffer = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const count = fs.readSync(this.#fd, this.#buffer, done, length - done, position + done);
      if (count === 0) throw new RangeError(`the log ends at byte ${position + done}`);
      done += count;
    }
    return this.#buffer.subarray(0, length);
  }

  write(position: number, buffers: readonly Uint8Array[], done: (error?: Error) => void): void {
    fs.writev(this.#fd, buffers, position, (error, written) => {
      if (error !== null) return done(error);
      const rest = behind(buffers, written);
      if (rest.length === 0) return done();
      if (written === 0) return done(new Error("nothing could be written"));
      this.write(position + written, rest, done);
    });
  }

  sync(done: (error?: Error) => void): void {
    fs.fdatasync(this.#fd, (error) => done(error ?? undefined));
  }
}

/** What is left of `buffers` behind so many bytes. */
function behind(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skipped = bytes;
  for (const buffer of buffers) {
    if (skipped < buffer.length) rest.push(skipped === 0 ? buffer : buffer.subarray(skipped));
    skipped = Math.max(0, skipped - buffer.length);
  }
  return rest;
}
