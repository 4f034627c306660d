import { defineDriver } from "../../block/driver.ts";
import { blockSize, deviceSize, flag, optional, optionsFor, required, wholeNumber } from "../../block/options.ts";
import { BadBlocks, parseRanges } from "./bad-blocks.ts";
import { NO_LATENCY, parseLatency } from "./latency.ts";
import { type Call, Station } from "./station.ts";

const MAX_DEPTH = 65_536;
const MAX_MBPS = 1_000_000;
const BYTES_PER_MS_PER_MBPS = (1 << 20) / 1000;

/**
 * A disk that stores nothing: reads are zeroes, writes are dropped; to measure everything else against, after the kernel's
 * null_blk. With `memory` it keeps them in its process's own memory, which its death empties. Its options: docs/drivers.md.
 */
export default defineDriver({
  options: optionsFor("null", {
    size: required(deviceSize),
    block: optional(blockSize, 512),
    memory: optional(flag, false),
    discard: optional(flag, true),
    latency: optional(parseLatency, NO_LATENCY),
    "read-latency": optional(parseLatency, undefined),
    "write-latency": optional(parseLatency, undefined),
    "flush-latency": optional(parseLatency, undefined),
    depth: optional(wholeNumber(1, MAX_DEPTH), undefined),
    mbps: optional(wholeNumber(1, MAX_MBPS), undefined),
    "bad-blocks": optional(parseRanges, []),
    "bad-blocks-once": optional(flag, false),
    "bad-blocks-partial": optional(flag, false),
  }),
  async open(options) {
    const { size, block, latency, depth, mbps } = options;
    const blocks = options.memory ? new Uint8Array(size) : undefined;
    const bad = new BadBlocks(options["bad-blocks"], options["bad-blocks-once"]);
    if (bad.end > size / block) {
      throw new Error(
        `bad-blocks names block ${bad.end - 1}, one of the disk's blocks 0-${size / block - 1} was wanted`,
      );
    }
    const isPartial = options["bad-blocks-partial"];
    const station = await Station.create({
      latency: {
        read: options["read-latency"] ?? latency,
        write: options["write-latency"] ?? latency,
        flush: options["flush-latency"] ?? latency,
        other: latency,
      },
      depth,
      bytesPerMs: mbps === undefined ? undefined : mbps * BYTES_PER_MS_PER_MBPS,
    });
    /** A call that reaches a bad block fails when it has been served; before that it has done all, none, or what comes before the block. */
    const serve = (call: Call, offset: number, length: number, work: (bytes: number) => void): void | Promise<void> => {
      const first = bad.strike(offset / block, Math.ceil(length / block));
      if (first === undefined) work(length);
      else if (isPartial) work(first * block - offset);
      const served = station?.served(call, call === "other" ? 0 : length);
      if (first === undefined) return served;
      const error = Object.assign(new Error(`block ${first} is bad`), { code: "EIO" });
      if (served === undefined) throw error;
      return served.then(() => Promise.reject(error));
    };
    const clear = (offset: number, length: number): void | Promise<void> =>
      serve("other", offset, length, (bytes) => blocks?.fill(0, offset, offset + bytes));
    return {
      size,
      blockSize: block,
      discards: true,
      fua: true,
      read: (offset, into) =>
        serve("read", offset, into.byteLength, (bytes) => {
          if (blocks === undefined) into.fill(0, 0, bytes);
          else into.set(blocks.subarray(offset, offset + bytes));
        }),
      write: (offset, from) =>
        serve("write", offset, from.byteLength, (bytes) => blocks?.set(from.subarray(0, bytes), offset)),
      flush: () => station?.served("flush", 0),
      ...(options.discard ? { trim: clear } : {}),
      zero: clear,
      close: () => station?.close(),
    };
  },
});
