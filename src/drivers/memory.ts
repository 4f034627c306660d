import { type DriverExtent, defineDriver } from "../block/driver.ts";
import { blockSize, deviceSize, optional, optionsFor, required } from "../block/options.ts";

/** What is zero, and often not even allocated, is known by the chunk. Bytes. */
const CHUNK_BYTES = 65536;
const IDENTITY_BYTES = 64;

/**
 * A disk in kept memory: it outlives its driver's process, and the front where somebody keeps that memory for the next one. Completed
 * writes are as durable as they will ever be, so `flush` has nothing to do.
 *
 * Kept are the "blocks", and a "map":
 *
 *   0          64
 *   | identity | one byte a chunk of 64 KiB: 0 never written, or zeroed as a whole; 1 look at the blocks |
 *
 * The map keeps what was never written unallocated: such chunks are read and zeroed without touching their memory.
 */
export default defineDriver({
  options: optionsFor("memory", { size: required(deviceSize), block: optional(blockSize, 512) }),
  open(options, context) {
    const size = options.size - (options.size % options.block);
    const blocks = context.keep("blocks", size);
    const map = context.keep("map", IDENTITY_BYTES + Math.ceil(size / CHUNK_BYTES));
    const identity = identityIn(map.subarray(0, IDENTITY_BYTES));
    const chunks = map.subarray(IDENTITY_BYTES);

    const zero = (offset: number, length: number): void => {
      const end = offset + length;
      for (let at = offset; at < end; at = nextChunk(at)) {
        const chunk = Math.floor(at / CHUNK_BYTES);
        if (chunks[chunk] === 0) continue;
        const until = Math.min(nextChunk(at), end);
        blocks.fill(0, at, until);
        // Only now: killed half-way, the chunk still counts as written.
        if (until - at === CHUNK_BYTES || (until === size && at % CHUNK_BYTES === 0)) chunks[chunk] = 0;
      }
    };

    return {
      size,
      blockSize: options.block,
      identity,
      fua: true,
      read(offset, into) {
        const end = offset + into.byteLength;
        for (let at = offset; at < end; at = nextChunk(at)) {
          if (chunks[Math.floor(at / CHUNK_BYTES)] !== 0) {
            into.set(blocks.subarray(offset, end));
            return;
          }
        }
        into.fill(0);
      },
      write(offset, from) {
        const end = offset + from.byteLength;
        for (let at = offset; at < end; at = nextChunk(at)) chunks[Math.floor(at / CHUNK_BYTES)] = 1;
        blocks.set(from, offset);
      },
      flush() {
        // Kept memory outlives this process, and that is all it promises.
      },
      trim: zero,
      zero,
      extents(offset, length) {
        const extents: DriverExtent[] = [];
        const end = offset + length;
        for (let at = offset; at < end; ) {
          const written = chunks[Math.floor(at / CHUNK_BYTES)] !== 0;
          let until = nextChunk(at);
          while (until < end && (chunks[Math.floor(until / CHUNK_BYTES)] !== 0) === written) until += CHUNK_BYTES;
          extents.push({ length: Math.min(until, end) - at, hole: !written, zero: !written });
          at = until;
        }
        return extents;
      },
    };
  },
});

function nextChunk(offset: number): number {
  return offset - (offset % CHUNK_BYTES) + CHUNK_BYTES;
}

/** The name of this memory: given by its first incarnation, found there by all later ones. */
function identityIn(bytes: Uint8Array): string {
  if (bytes[0] === 0) {
    const name = new TextEncoder().encode(`memory:${crypto.randomUUID()}`);
    // The first byte last: without it the name counts as missing.
    bytes.set(name.subarray(1), 1);
    bytes.set(name.subarray(0, 1), 0);
  }
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
