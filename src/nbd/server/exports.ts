import type { Geometry } from "../../block/geometry.ts";
import type { BlockDevice } from "../../shadow/ports.ts";
import { DEFAULT_PREFERRED_BLOCK_BYTES, FLAG } from "../wire/protocol.ts";

/** A device under the name that clients ask for. */
export interface Export {
  readonly name: string;
  /** For people; empty for none. */
  readonly description: string;
  readonly device: BlockDevice;
}

/** What a server offers, at this moment. */
export interface Exports {
  list(): readonly { readonly name: string; readonly description: string }[];
  find(name: string): Export | undefined;
}

/**
 * The export of that name. The empty name means the default export, which is the only one there is: where there are
 * several, a client has to say which disk it wants to write to.
 */
export function findExport(exports: Exports, name: string): Export | undefined {
  const found = exports.find(name);
  if (found !== undefined || name !== "") return found;
  const [only, ...others] = exports.list();
  return only === undefined || others.length > 0 ? undefined : exports.find(only.name);
}

/**
 * What the device can do, as transmission flags. Writing zeroes is always there because the device writes them where
 * its driver can't zero; several connections are, because a flush covers them all (rule of CAN_MULTI_CONN).
 */
export function transmissionFlags(geometry: Geometry, structured: boolean): number {
  const common = FLAG.HAS_FLAGS | FLAG.CAN_MULTI_CONN | FLAG.CACHE | (structured ? FLAG.DF : 0);
  if (geometry.readOnly) return common | FLAG.READ_ONLY;
  const writes = FLAG.FLUSH | FLAG.FUA | FLAG.WRITE_ZEROES | FLAG.FAST_ZERO;
  return common | writes | (geometry.trim ? FLAG.TRIM : 0);
}

/** Bytes. */
export function preferredBlockSize(geometry: Geometry): number {
  return Math.max(DEFAULT_PREFERRED_BLOCK_BYTES, geometry.blockSize);
}
