import { MAX_SLOT_BYTES, type Payload } from "../../block/memory.ts";

/** Runs of zeroes are looked for in steps of this size. Divides MAX_SLOT_BYTES. */
export const HOLE_GRAIN_BYTES = 64 << 10;

const ZEROES = new Uint8Array(HOLE_GRAIN_BYTES);

/**
 * Whether the `length` bytes of `payload` from `start` on, within one grain, are all zero. Data is told from zeroes by
 * a look at a few bytes as a rule; real zeroes are compared at the speed of memory, which is faster than sending them.
 */
export function isZeroGrain(payload: Payload, start: number, length: number): boolean {
  const slot = payload.slots[Math.floor(start / MAX_SLOT_BYTES)];
  if (slot === undefined) return false;
  const from = start % MAX_SLOT_BYTES;
  const { bytes } = slot;
  if (bytes[from] !== 0 || bytes[from + length - 1] !== 0 || bytes[from + (length >>> 1)] !== 0) return false;
  const zeroes = length === ZEROES.length ? ZEROES : ZEROES.subarray(0, length);
  return Buffer.compare(bytes.subarray(from, from + length), zeroes) === 0;
}
