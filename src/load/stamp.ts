/**
 * What a change writes, so that it is recognised from the bytes alone: units of 16 bytes, the same all over a sector.
 *
 *   0        4        8        12      16
 *   | number          | sector | check | the same again, and so on …     little-endian
 *
 * The check covers the three before it and a salt, so that each unit tells whether it was ever written, and by which load. A
 * flipped bit makes one unit wrong; a sector whose units are all right, and differ, is a mixture.
 */
const UNIT_WORDS = 4;
const UNSIGNED_32_BITS = 0x1_0000_0000;

/** Neither zeroes nor one stamp of the sector. */
export const NOT_PLAIN = -1;

/** One unit: `undefined` where nobody wrote it, number 0 for zeroes. */
export type Unit = { readonly number: number; readonly sector: number } | undefined;

/** Fills `words` with the stamps of change `number`, from `sector` on. */
export function stamp(words: Uint32Array, sectorWords: number, sector: number, number: number, salt: number): void {
  const low = number >>> 0;
  const high = Math.floor(number / UNSIGNED_32_BITS);
  for (let start = 0, place = sector; start < words.length; start += sectorWords, place++) {
    const check = checkOf(low, high, place, salt);
    for (let at = start; at < start + sectorWords; at += UNIT_WORDS) {
      words[at] = low;
      words[at + 1] = high;
      words[at + 2] = place;
      words[at + 3] = check;
    }
  }
}

/** The number of the change that has stamped all of the sector which starts at `start`; 0 for zeroes; else NOT_PLAIN. */
export function numberOf(words: Uint32Array, start: number, sectorWords: number, sector: number, salt: number): number {
  const low = words[start] as number;
  const high = words[start + 1] as number;
  const place = words[start + 2] as number;
  const check = words[start + 3] as number;
  // Differences are gathered without a branch for each word: this is what checking a read costs.
  let difference = 0;
  for (let at = start + UNIT_WORDS; at < start + sectorWords; at += UNIT_WORDS) {
    difference |=
      ((words[at] as number) ^ low) |
      ((words[at + 1] as number) ^ high) |
      ((words[at + 2] as number) ^ place) |
      ((words[at + 3] as number) ^ check);
  }
  if (difference !== 0) return NOT_PLAIN;
  if ((low | high | place | check) === 0) return 0;
  return place === sector && check === checkOf(low, high, place, salt) ? high * UNSIGNED_32_BITS + low : NOT_PLAIN;
}

/** The units of the sector that starts at `start`, each one that differs from the one before it. */
export function unitsOf(words: Uint32Array, start: number, sectorWords: number, salt: number): Unit[] {
  const units: Unit[] = [];
  for (let at = start; at < start + sectorWords; at += UNIT_WORDS) {
    const isAsBefore = at > start && [0, 1, 2, 3].every((word) => words[at + word] === words[at - UNIT_WORDS + word]);
    if (!isAsBefore) units.push(unitOf(words.subarray(at, at + UNIT_WORDS), salt));
  }
  return units;
}

function unitOf([low = 0, high = 0, sector = 0, check = 0]: Uint32Array, salt: number): Unit {
  if ((low | high | sector | check) === 0) return { number: 0, sector: 0 };
  return check === checkOf(low, high, sector, salt) ? { number: high * UNSIGNED_32_BITS + low, sector } : undefined;
}

/** Mixes as MurmurHash3's finalizer does: each bit of what goes in moves half of those that come out. */
function checkOf(low: number, high: number, sector: number, salt: number): number {
  let hash = Math.imul(low ^ salt, 0x9e3779b1) ^ Math.imul(high + 1, 0x27d4eb2f) ^ Math.imul(sector + 1, 0x165667b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
