import type { ReplyStyle } from "../wire/protocol.ts";
import type { Export } from "./exports.ts";

/** The id under which base:allocation, the one context there is, is known on the wire. */
export const ALLOCATION_ID = 1;

/** What client and server have agreed on. */
export interface Choice {
  readonly export: Export;
  /** Bytes, as the client was told. */
  readonly size: number;
  readonly replies: ReplyStyle;
  /** base:allocation was selected, for this very export. */
  readonly allocation: boolean;
}
