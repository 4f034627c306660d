/**
 * A disk with a volatile write cache, as real ones have: a write is acknowledged as soon as it is in this process's
 * own memory, and reaches the medium with the next flush. Killed before that, it is gone. This is the honest test of
 * what a restart has to give back; a page cache, which outlives its process, would hide the loss.
 *
 *   ./examples/volatile.ts?size=256M                   the medium is kept memory
 *   ./examples/volatile.ts?size=10G&path=disk.img      the medium is a file, created when it is missing
 */
import { closeSync, constants, fdatasync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { type DriverContext, defineDriver, parseSize } from "skink/driver";

const SECTOR_BYTES = 512;
/** The cache's unit, with a bit for each of its sectors that is newer here than on the medium. */
const PAGE_BYTES = 4096;
const ALL_SECTORS = (1 << (PAGE_BYTES / SECTOR_BYTES)) - 1;
/** Pages in the cache at most; what finds no place goes straight to the medium. 256 MiB. */
const MAX_PAGES = 65536;

interface Page {
  readonly bytes: Uint8Array;
  dirty: number;
}

interface Medium {
  readonly identity: string | undefined;
  read(offset: number, into: Uint8Array): void;
  write(offset: number, from: Uint8Array): void;
  sync(): void | Promise<void>;
  close(): void;
}

export default defineDriver({
  options: {
    parse({ size, path, ...others }: Record<string, string>) {
      const [unknown] = Object.keys(others);
      if (unknown !== undefined) throw new Error(`Cannot open the volatile disk: there is no option ${unknown}`);
      if (size === undefined) throw new Error("Cannot open the volatile disk: size is missing, for example ?size=256M");
      return { size: Math.floor(parseSize(size) / PAGE_BYTES) * PAGE_BYTES, path };
    },
  },

  open({ size, path }, context) {
    const medium = path === undefined ? memoryMedium(size, context) : fileMedium(size, path);
    const cache = new Map<number, Page>();
    /** Pages ready for use: making one costs as much as filling it. */
    const spare: Page[] = [];

    /** Calls back for each part of a range that lies in one page: the page's number and, within it, start and length. */
    const eachPage = (
      offset: number,
      length: number,
      act: (number: number, start: number, count: number, done: number) => void,
    ): void => {
      for (let done = 0; done < length; ) {
        const start = (offset + done) % PAGE_BYTES;
        const count = Math.min(PAGE_BYTES - start, length - done);
        act((offset + done - start) / PAGE_BYTES, start, count, done);
        done += count;
      }
    };

    /** Writes a page's dirty sectors to the medium, each run of them at once. */
    const destage = (number: number, page: Page): void => {
      if (page.dirty === ALL_SECTORS) return medium.write(number * PAGE_BYTES, page.bytes);
      for (const [start, end] of dirtyRuns(page)) {
        medium.write(number * PAGE_BYTES + start, page.bytes.subarray(start, end));
      }
    };

    return {
      size,
      blockSize: SECTOR_BYTES,
      ...(medium.identity === undefined ? {} : { identity: medium.identity }),

      read(offset, into) {
        let isOnMedium = true;
        if (into.byteLength === PAGE_BYTES && offset % PAGE_BYTES === 0) {
          isOnMedium = cache.get(offset / PAGE_BYTES)?.dirty !== ALL_SECTORS;
        }
        if (isOnMedium) medium.read(offset, into);
        eachPage(offset, into.byteLength, (number, start, count, done) => {
          const page = cache.get(number);
          if (page === undefined) return;
          for (const [from, to] of dirtyRuns(page)) {
            const first = Math.max(from, start);
            const last = Math.min(to, start + count);
            if (first < last) into.set(page.bytes.subarray(first, last), done + first - start);
          }
        });
      },

      write(offset, from) {
        eachPage(offset, from.byteLength, (number, start, count, done) => {
          const part = from.byteLength === count ? from : from.subarray(done, done + count);
          let page = cache.get(number);
          if (page === undefined) {
            if (cache.size >= MAX_PAGES) return medium.write(number * PAGE_BYTES + start, part);
            page = spare.pop() ?? { bytes: new Uint8Array(PAGE_BYTES), dirty: 0 };
            cache.set(number, page);
          }
          page.bytes.set(part, start);
          page.dirty |= sectorsOf(start, count);
        });
      },

      flush() {
        // A page leaves the cache when it is on the medium; if one can't be written, it and the rest stay.
        for (const [number, page] of cache) {
          destage(number, page);
          cache.delete(number);
          page.dirty = 0;
          spare.push(page);
        }
        return medium.sync();
      },

      close: () => medium.close(),
    };
  },
});

/** The bits of the sectors that `length` bytes from `start` on cover. */
function sectorsOf(start: number, length: number): number {
  return ((1 << (length / SECTOR_BYTES)) - 1) << (start / SECTOR_BYTES);
}

const WHOLE_PAGE: readonly [number, number][] = [[0, PAGE_BYTES]];

function dirtyRuns(page: Page): readonly [number, number][] {
  if (page.dirty === ALL_SECTORS) return WHOLE_PAGE;
  const runs: [number, number][] = [];
  for (let at = 0; at < PAGE_BYTES; at += SECTOR_BYTES) {
    if ((page.dirty & sectorsOf(at, SECTOR_BYTES)) === 0) continue;
    const last = runs.at(-1);
    if (last !== undefined && last[1] === at) last[1] = at + SECTOR_BYTES;
    else runs.push([at, at + SECTOR_BYTES]);
  }
  return runs;
}

function memoryMedium(size: number, context: DriverContext): Medium {
  const medium = context.keep("medium", size);
  return {
    identity: undefined,
    read: (offset, into) => into.set(medium.subarray(offset, offset + into.byteLength)),
    write: (offset, from) => medium.set(from, offset),
    sync() {},
    close() {},
  };
}

function fileMedium(size: number, path: string): Medium {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT);
  const { ino, birthtimeMs, size: found } = fstatSync(fd);
  if (found < size) ftruncateSync(fd, size);
  return {
    identity: `volatile:${ino}:${Math.round(birthtimeMs)}`,
    read(offset, into) {
      for (let done = 0; done < into.byteLength; ) {
        const count = readSync(fd, into, done, into.byteLength - done, offset + done);
        if (count === 0) throw new Error(`${path} ends before ${offset + done}`);
        done += count;
      }
    },
    write(offset, from) {
      for (let done = 0; done < from.byteLength; ) {
        done += writeSync(fd, from, done, from.byteLength - done, offset + done);
      }
    },
    sync: () =>
      new Promise((resolve, reject) => fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))),
    close: () => closeSync(fd),
  };
}
