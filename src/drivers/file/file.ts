import fs from "node:fs";
import { resolve } from "node:path";
import { defineDriver, type OpenedDevice } from "../../block/driver.ts";
import { blockSize, deviceSize, flag, optional, optionsFor, required, text } from "../../block/options.ts";
import { readNoWait } from "../../os/read-now.ts";
import { extentsOf, trimBlockDevice, trimFile, zeroBlockDevice, zeroFile } from "./holes.ts";
import { openStore } from "./store.ts";
import { readRest, sync, writeRest } from "./transfer.ts";

/** Up to here a write goes into the page cache at once: 8 µs for 4 KiB, where a trip through the thread pool takes 20. */
const WRITE_NOW_BYTES = 128 << 10;
/** A write of whole pages never waits for the rest of a page to be read. */
const PAGE_BYTES = 4096;

/**
 * A regular file, or a raw block device. Its writes are the page cache's until a flush. Whole pages that are cached
 * are read and written on the spot; what may wait for a disk, flushes above all, is left to the thread pool.
 */
export default defineDriver({
  options: optionsFor("file", {
    path: required(text),
    size: optional(deviceSize, undefined),
    block: optional(blockSize, undefined),
    readonly: optional(flag, false),
  }),
  async open(options): Promise<OpenedDevice> {
    const store = await openStore({ ...options, path: resolve(options.path) });
    const { handle, isBlockDevice, blockSize, identity, size } = store;
    const { fd } = handle;
    const readable = {
      size,
      blockSize,
      identity,
      read(offset: number, into: Uint8Array): void | Promise<void> {
        const count = readNoWait(fd, into, offset) ?? 0;
        if (count < into.byteLength) return readRest(fd, into, count, offset);
      },
      close: () => handle.close(),
      ...(isBlockDevice
        ? {}
        : { extents: (offset: number, length: number) => extentsOf(fd, offset, length, blockSize) }),
    };
    if (options.readonly) return readable;
    const trim = isBlockDevice ? trimBlockDevice : trimFile;
    const zero = isBlockDevice ? zeroBlockDevice : zeroFile;
    return {
      ...readable,
      write(offset, from) {
        let count = 0;
        if (from.byteLength <= WRITE_NOW_BYTES && offset % PAGE_BYTES === 0 && from.byteLength % PAGE_BYTES === 0) {
          count = fs.writeSync(fd, from, 0, from.byteLength, offset);
          if (count === from.byteLength) return;
        }
        return writeRest(fd, from, count, offset);
      },
      flush: () => sync(fd),
      trim: (offset, length) => trim(fd, offset, length),
      zero: (offset, length, flags) => zero(fd, offset, length, flags),
    };
  },
});
