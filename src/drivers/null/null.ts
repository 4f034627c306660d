import { defineDriver } from "../../block/driver.ts";
import { blockSize, deviceSize, durationUs, flag, optional, optionsFor, required } from "../../block/options.ts";
import { Delay } from "./delay.ts";

/**
 * A disk that stores nothing: reads are zeroes, writes are dropped; for measuring all that is not the store. With
 * `memory` it keeps them in its process's own memory, which its death empties. With `latency` each call takes that
 * long, any number of them at a time.
 */
export default defineDriver({
  options: optionsFor("null", {
    size: required(deviceSize),
    block: optional(blockSize, 512),
    latency: optional(durationUs, 0),
    memory: optional(flag, false),
  }),
  async open({ size, block, latency, memory }) {
    const blocks = memory ? new Uint8Array(size) : undefined;
    const delay = latency === 0 ? undefined : await Delay.create(latency);
    const settle = delay === undefined ? () => {} : () => delay.over();
    const zero = (offset: number, length: number): void | Promise<void> => {
      blocks?.fill(0, offset, offset + length);
      return settle();
    };
    return {
      size,
      blockSize: block,
      discards: true,
      fua: true,
      read(offset, into) {
        if (blocks === undefined) into.fill(0);
        else into.set(blocks.subarray(offset, offset + into.byteLength));
        return settle();
      },
      write(offset, from) {
        blocks?.set(from, offset);
        return settle();
      },
      flush: settle,
      trim: zero,
      zero,
      close: () => delay?.close(),
    };
  },
});
