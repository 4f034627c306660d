/**
 * The driver interface: what a module exports to be a block driver. See docs/drivers.md.
 * Every method may return a promise. Offsets and lengths are bytes, whole blocks, inside the device.
 */
export interface Driver<Options = Record<string, string>> {
  /** Checks the options of a spec (`?key=value`); a zod schema serves. Without it `open` gets the raw strings. */
  readonly options?: { parse(raw: Record<string, string>): Options };
  /** Opens the store. A rejection of the first `open` ends `serve`; a later one is tried again. */
  open(options: Options, context: DriverContext): OpenedDevice | Promise<OpenedDevice>;
}

export interface DriverContext {
  /** The number of this incarnation. A fencing token: it only grows. */
  readonly epoch: number;
  /** Aborted when the front closes this incarnation; what is in flight still has to settle. */
  readonly signal: AbortSignal;
  /** A line for the front's log. */
  log(message: string): void;
  /**
   * Shared memory that outlives incarnations: the same bytes under the same name in the next one,
   * zeroes at first. Only inside `open`. Throws EINVAL if `bytes` differs from the existing region's.
   */
  keep(name: string, bytes: number): Uint8Array;
}

export interface OpenedDevice {
  /** Bytes; rounded down to whole blocks, with a warning. */
  readonly size: number;
  /** The smallest unit, a power of two from 512 to 65536; 512 if left out. Unaligned requests get EINVAL. */
  readonly blockSize?: number;
  /** Names the store: a later incarnation with another identity is refused. */
  readonly identity?: string;
  /** `write` honours `fua` by itself; otherwise the front flushes after such a write. */
  readonly fua?: boolean;
  /**
   * Written data need not be there later (a null device). The front then leaves out its check that
   * a new incarnation still holds what was made durable before.
   */
  readonly discards?: boolean;
  /** Fills `into` from `offset` on. `into` is shared memory, writable until the call settles. */
  read(offset: number, into: Uint8Array): Settled;
  /**
   * Writes `from` at `offset`. `from` is borrowed: read-only shared memory, valid until the call
   * settles; a driver that keeps the data keeps a copy. Without `write` the device is read-only.
   */
  write?(offset: number, from: Uint8Array, flags: { readonly fua: boolean }): Settled;
  /** When it settles, everything that had completed before it was called is durable. Mandatory with `write`. */
  flush?(): Settled;
  /** The range's contents are no longer needed. */
  trim?(offset: number, length: number): Settled;
  /** Zeroes the range. `mayTrim`: a hole will do. `fast`: throw ENOTSUP where it is no faster than writing. */
  zero?(offset: number, length: number, flags: { readonly mayTrim: boolean; readonly fast: boolean }): Settled;
  /** The nature of the range, in order from `offset` on; it may end early, after at least one extent. */
  extents?(offset: number, length: number): readonly DriverExtent[] | Promise<readonly DriverExtent[]>;
  /** The incarnation ends in order; nothing is called after it. */
  close?(): Settled;
}

/** `hole`: nothing allocated; `zero`: reads as zeroes. Left out means false, which is always safe. */
export interface DriverExtent {
  readonly length: number;
  readonly hole?: boolean;
  readonly zero?: boolean;
}

type Settled = void | Promise<void>;

/** The identity function, typed: `export default defineDriver({ … })`. A plain object serves too. */
export function defineDriver<Options = Record<string, string>>(driver: Driver<Options>): Driver<Options> {
  return driver;
}

export { parseSize } from "./size.ts";
