import type { Geometry } from "../../block/geometry.ts";
import type { BlockDevice } from "../../shadow/ports.ts";
import { DEFAULT_PREFERRED_BLOCK_BYTES, FLAG } from "../wire/protocol.ts";
import type { Choice } from "./choice.ts";

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

/** What of an agreement with a client decides what it is offered. */
export type Agreed = Pick<Choice, "replies" | "allocation">;

/** Whether the client may ask by a payload what a BLOCK_STATUS should tell (BLOCK_STATUS_PAYLOAD). */
export function takesQueries({ replies, allocation }: Agreed): boolean {
  return replies === "extended" && allocation;
}

/**
 * What the device can do, as transmission flags. Writing zeroes is always there because the device writes them where
 * its driver can't zero; several connections are, because a flush covers them all (rule of CAN_MULTI_CONN); RESIZE is,
 * because a store may come back larger.
 */
export function transmissionFlags(geometry: Geometry, agreed: Agreed): number {
  const chunks = agreed.replies === "simple" ? 0 : FLAG.DF;
  const queries = takesQueries(agreed) ? FLAG.BLOCK_STATUS_PAYLOAD : 0;
  const common = FLAG.HAS_FLAGS | FLAG.CAN_MULTI_CONN | FLAG.CACHE | chunks | queries;
  if (geometry.readOnly) return common | FLAG.READ_ONLY;
  const writes = FLAG.FLUSH | FLAG.FUA | FLAG.WRITE_ZEROES | FLAG.FAST_ZERO | FLAG.RESIZE;
  return common | writes | (geometry.trim ? FLAG.TRIM : 0);
}

/** Bytes. */
export function preferredBlockSize({ preferredBlockSize: preferred, blockSize }: Geometry): number {
  return Math.max(preferred ?? DEFAULT_PREFERRED_BLOCK_BYTES, blockSize);
}
