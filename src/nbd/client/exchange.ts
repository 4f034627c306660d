import type { Extent } from "../../block/request.ts";

/** A run of a read's reply, as the server sent it: data, or a hole, which reads as zeroes. Bytes of the read. */
export interface Run {
  readonly start: number;
  readonly length: number;
  readonly hole: boolean;
}

/** A run of bytes, and what a context says of it: `flags` mean what the context says they do. */
export interface MetaExtent {
  readonly length: number;
  /** Exact up to 2^53. */
  readonly flags: number;
}

/** One request and what its reply brings, from its making until it is settled. Offset and length in bytes. */
export interface Exchange {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  /** A write's data, borrowed until it is settled; `undefined` for all others. */
  readonly data: Uint8Array | undefined;
  /** Where a read's data goes, likewise. */
  readonly into: Uint8Array | undefined;
  /** Where the extents of base:allocation go, for a block status that wants these. */
  readonly extents: Extent[] | undefined;
  /** Where the extents of contexts go, by their names, for a block status that wants them as they are. */
  readonly contexts?: ReadonlyMap<string, MetaExtent[]> | undefined;
  /** The runs of a read's reply, in the order in which they came. Kept where there are several, or `sparse` asks for them. */
  runs: Run[] | undefined;
  /** Whoever reads wants to know the runs; holes leave the memory that the read is for as it is. */
  readonly sparse: boolean;
  /** Bytes of data and holes that have come. */
  covered: number;
  /** The first error that a chunk reported; 0 for none. */
  error: number;
}
