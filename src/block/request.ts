import type { Errno } from "./errors.ts";
import type { Payload } from "./memory.ts";

/** Writers change sectors, readers look at them; a flush concerns the whole device. */
export type RequestKind = "read" | "write" | "zero" | "trim" | "flush" | "extents" | "cache";

export function isWriter(kind: RequestKind): boolean {
  return kind === "write" || kind === "zero" || kind === "trim";
}

/** A run of bytes of one nature. `hole`: nothing is allocated; `zero`: it reads as zeroes. */
export interface Extent {
  readonly length: number;
  readonly hole: boolean;
  readonly zero: boolean;
}

/**
 * One request of a client, from its admission to its one reply (P7).
 * The requester makes it and fills `payload` of a write; from `submit` on the device owns it;
 * with the reply it is the requester's again.
 */
export interface Request {
  readonly kind: RequestKind;
  /** Bytes, whole blocks, within the device. Both 0 for a flush. */
  readonly offset: number;
  readonly length: number;
  /** Durable before the reply. Writers only. */
  readonly fua: boolean;
  /** A zero may leave a hole. */
  readonly mayTrim: boolean;
  /** A zero must fail with ENOTSUP where it would be no faster than writing. */
  readonly fast: boolean;
  readonly requester: Requester;
  /** A write's data, or where a read's data goes; allocated by admission, `undefined` for the others. */
  payload: Payload | undefined;
  /** The answer to an extents request: at least one, from its offset on. They may end before the range does, never after. */
  extents: readonly Extent[] | undefined;
}

export interface Requester {
  /**
   * The one reply to `request`. A read's payload is the requester's from here on, to release when
   * the data has been taken, whatever `errno` says; a write's stays the device's.
   */
  reply(request: Request, errno: Errno): void;
}
