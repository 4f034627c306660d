import fs from "node:fs";
import { SkinkError } from "../../block/errors.ts";

/**
 * Fills the rest of `into`, whose first `done` bytes are there, from the file at `offset` on. Short reads are
 * continued. In the thread pool: it may wait for a disk. Rejects with EIO at the end of the file, which somebody
 * must have cut, and with the system's error otherwise.
 */
export function readRest(fd: number, into: Uint8Array, done: number, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (from: number): void => {
      fs.read(fd, into, from, into.byteLength - from, offset + from, (error, count) => {
        if (error !== null) reject(error);
        else if (count === 0) reject(new SkinkError("EIO", `Cannot read at ${offset + from}: the file ends before it`));
        else if (from + count < into.byteLength) next(from + count);
        else resolve();
      });
    };
    next(done);
  });
}

/** Writes the rest of `from`, whose first `done` bytes have been written at `offset`. As {@link readRest}. */
export function writeRest(fd: number, from: Uint8Array, done: number, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (start: number): void => {
      fs.write(fd, from, start, from.byteLength - start, offset + start, (error, count) => {
        if (error !== null) reject(error);
        else if (start + count < from.byteLength) next(start + count);
        else resolve();
      });
    };
    next(done);
  });
}

const ZEROES = new Uint8Array(1 << 20);

/** Writes zeroes, for stores that can't make them by themselves. */
export async function writeZeroes(fd: number, offset: number, length: number): Promise<void> {
  for (let done = 0; done < length; done += ZEROES.byteLength) {
    await writeRest(fd, ZEROES.subarray(0, Math.min(length - done, ZEROES.byteLength)), 0, offset + done);
  }
}

/** Makes all completed writes durable, in the thread pool. */
export function sync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}
