/*
 * What a sector holds tells which write it came from. Little-endian words of 32 bits, every `blockSize / 512`th one;
 * between them are zeroes:
 *
 *   | write id | sector ^ MARK | write id | sector ^ MARK | …
 *
 * A sector of zeroes counts as written by id 0. Anything else is not a sector that anybody wrote: torn between two
 * writes, at the wrong place, or memory that was used after it was given back.
 */
const MARK = 0x5ec70000;
const WORDS_PER_SECTOR = 128;

/** The content that a zero leaves. */
export const ZEROES = 0;
/** Torn, misplaced or made of nothing that was written. */
export const GARBAGE = -1;

/** Fills one sector. `into` begins at a multiple of 4 bytes of its buffer. */
export function stamp(into: Uint8Array, sector: number, id: number): void {
  const words = new Uint32Array(into.buffer, into.byteOffset, into.byteLength >>> 2);
  if (id === ZEROES) {
    words.fill(0);
    return;
  }
  if (id === GARBAGE) {
    words.fill(0xbadbad00);
    return;
  }
  const stride = words.length / WORDS_PER_SECTOR;
  if (stride > 1) words.fill(0);
  const mark = (sector ^ MARK) >>> 0;
  for (let i = 0; i < WORDS_PER_SECTOR; i += 2) {
    words[i * stride] = id;
    words[(i + 1) * stride] = mark;
  }
}

/** The id of the write that filled this sector. */
export function identify(bytes: Uint8Array, sector: number): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  const stride = words.length / WORDS_PER_SECTOR;
  const id = words[0] as number;
  const mark = id === ZEROES ? 0 : (sector ^ MARK) >>> 0;
  for (let i = 0; i < WORDS_PER_SECTOR; i += 2) {
    if (words[i * stride] !== id || words[(i + 1) * stride] !== mark) return GARBAGE;
  }
  return id > 0x7fffffff ? GARBAGE : id;
}
