import { defineDriver } from "skink/driver";

const SIZE = 64 << 20;

export default defineDriver({
  open(_options, context) {
    const disk = context.keep("disk", SIZE);
    return {
      size: SIZE,
      read: (offset, into) => into.set(disk.subarray(offset, offset + into.length)),
      write: (offset, from) => disk.set(from, offset),
      flush() {}, // Empty on purpose: kept memory outlives this process.
    };
  },
});
