import type { Errno } from "../../block/errors.ts";
import type { Extent } from "../../block/request.ts";
import type { Exchange, Run } from "../../nbd/client/exchange.ts";
import type { Operation } from "../../shadow/ports.ts";

/** A submission that a server takes in several requests. */
export interface Split {
  /** Those without a reply. */
  left: number;
  /** The first error; 0 for none. */
  errno: Errno;
  /** Bytes of the whole submission. */
  readonly length: number;
}

/** What goes to the server as one request: a submission, as a rule, or a part of it. Reused. */
export class Part implements Exchange {
  type = 0;
  flags = 0;
  offset = 0;
  length = 0;
  data: Uint8Array | undefined;
  into: Uint8Array | undefined;
  extents: Extent[] | undefined;
  runs: Run[] | undefined;
  readonly sparse = false;
  covered = 0;
  error = 0;

  tag = 0;
  operation: Operation = "read";
  /** Where in the arena of reads the submission's answer goes. */
  address = 0;
  split: Split | undefined;

  /** Makes it new again. */
  set(type: number, flags: number, offset: number, length: number): void {
    this.type = type;
    this.flags = flags;
    this.offset = offset;
    this.length = length;
    this.data = undefined;
    this.into = undefined;
    this.extents = undefined;
    this.runs = undefined;
    this.covered = 0;
    this.error = 0;
  }
}
