/** What a device is and can do. Sizes in bytes. */
export interface Geometry {
  /** A whole number of blocks. */
  readonly size: number;
  /** The sector: the smallest unit of a request. A power of two, 512 to 65536 bytes. */
  readonly blockSize: number;
  /** The size of requests that suits the store best, where it says one: a power of two, at least a block. */
  readonly preferredBlockSize?: number;
  readonly readOnly: boolean;
  /** The driver makes a single write durable by itself; else the front flushes after it. */
  readonly fua: boolean;
  readonly trim: boolean;
  /** The driver zeroes by itself; else the front writes zeroes. */
  readonly zero: boolean;
  readonly extents: boolean;
}

export const MIN_BLOCK_SIZE = 512;
export const MAX_BLOCK_SIZE = 65536;

export function isBlockSize(bytes: number): boolean {
  return bytes >= MIN_BLOCK_SIZE && bytes <= MAX_BLOCK_SIZE && Number.isInteger(Math.log2(bytes));
}

/** Whether two ranges share a byte. Empty ranges share nothing. */
export function overlaps(aOffset: number, aLength: number, bOffset: number, bLength: number): boolean {
  return aOffset < bOffset + bLength && bOffset < aOffset + aLength && aLength > 0 && bLength > 0;
}
