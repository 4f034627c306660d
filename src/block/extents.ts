import type { DriverExtent } from "./driver.ts";
import type { Extent } from "./request.ts";

/*
 * How a list of extents travels through shared memory, little-endian, 16 bytes an extent:
 *
 *   0        8       12      16
 *   | length | flags | zero  |
 *   | f64    | u32   | u32   |      flags: 1 hole, 2 reads as zeroes
 */
export const EXTENT_BYTES = 16;
const FLAG_HOLE = 1;
const FLAG_ZERO = 2;

/** Encodes as many of `extents` as fit into `into`, cut off at `length` bytes of device. Returns the bytes used. */
export function encodeExtents(extents: readonly DriverExtent[], length: number, into: Uint8Array): number {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  let used = 0;
  let covered = 0;
  for (const extent of extents) {
    if (covered >= length || used + EXTENT_BYTES > into.byteLength) break;
    const taken = Math.min(extent.length, length - covered);
    view.setFloat64(used, taken, true);
    view.setUint32(used + 8, (extent.hole === true ? FLAG_HOLE : 0) | (extent.zero === true ? FLAG_ZERO : 0), true);
    view.setUint32(used + 12, 0, true);
    covered += taken;
    used += EXTENT_BYTES;
  }
  return used;
}

/**
 * Decodes and checks a list for a range of `length` bytes. `undefined` where it is malformed: no extent, an empty
 * one, not whole blocks (but for the last, up to the end of the range), past the range, unknown flags.
 * Like extents are merged. A list may end early, after at least one.
 */
export function decodeExtents(bytes: Uint8Array, length: number, blockSize: number): Extent[] | undefined {
  if (bytes.byteLength === 0 || bytes.byteLength % EXTENT_BYTES !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const extents: Extent[] = [];
  let covered = 0;
  for (let at = 0; at < bytes.byteLength; at += EXTENT_BYTES) {
    const run = view.getFloat64(at, true);
    const flags = view.getUint32(at + 8, true);
    if (!(run > 0) || run > length - covered || run % blockSize !== 0 || flags > (FLAG_HOLE | FLAG_ZERO))
      return undefined;
    covered += run;
    appendExtent(extents, run, (flags & FLAG_HOLE) !== 0, (flags & FLAG_ZERO) !== 0);
  }
  return extents;
}

/** Adds a run to a list, as part of the last extent where that is alike. An empty run adds nothing. */
export function appendExtent(extents: Extent[], length: number, hole: boolean, zero: boolean): void {
  if (length === 0) return;
  const last = extents.at(-1);
  if (last !== undefined && last.hole === hole && last.zero === zero) {
    extents[extents.length - 1] = { length: last.length + length, hole, zero };
  } else {
    extents.push({ length, hole, zero });
  }
}
