import { FLAG } from "../wire/protocol.ts";
import type { Agreement } from "./agreement.ts";

/** An export, and what it can do. Sizes in bytes. */
export interface ExportInfo {
  /** The name that the server knows it by. */
  readonly name: string;
  /** For people; empty for none. */
  readonly description: string;
  readonly size: number;
  /** Offsets and lengths are multiples of it. */
  readonly minimumBlockSize: number;
  /** Those that are multiples of it cost the server the least. */
  readonly preferredBlockSize: number;
  /** The most data of one request on the wire; larger ones are split. */
  readonly maximumPayload: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly canFlush: boolean;
  readonly canFua: boolean;
  readonly canTrim: boolean;
  readonly canZero: boolean;
  readonly canFastZero: boolean;
  readonly canCache: boolean;
  readonly canResize: boolean;
  /** A flush on one connection covers what was answered on the others. */
  readonly canMultiConn: boolean;
  /** Replies are structured: reads may come in parts, with holes. */
  readonly structured: boolean;
  /** Headers are extended: what has no data may be longer than 4 GiB in one request. */
  readonly extended: boolean;
  /** The names of the contexts that extents can be asked of. */
  readonly contexts: readonly string[];
}

export function describeExport(agreement: Agreement): ExportInfo {
  const { flags, contexts, allocationId: _, ...same } = agreement;
  const can = (flag: number) => (flags & flag) !== 0;
  return {
    ...same,
    readOnly: can(FLAG.READ_ONLY),
    rotational: can(FLAG.ROTATIONAL),
    canFlush: can(FLAG.FLUSH),
    canFua: can(FLAG.FUA),
    canTrim: can(FLAG.TRIM),
    canZero: can(FLAG.WRITE_ZEROES),
    canFastZero: can(FLAG.FAST_ZERO),
    canCache: can(FLAG.CACHE),
    canResize: can(FLAG.RESIZE),
    canMultiConn: can(FLAG.CAN_MULTI_CONN),
    contexts: [...contexts.values()],
  };
}
