import type { Run } from "./exchange.ts";

/** A piece of what was read, and where in the export it is: its data, or a hole, which reads as zeroes. */
export type SparseRun =
  | { readonly kind: "data"; readonly offset: number; readonly length: number; readonly data: Uint8Array<ArrayBuffer> }
  | { readonly kind: "hole"; readonly offset: number; readonly length: number };

/** The runs of the part of a read at `offset` into `memory` that begins at `start`. */
export function placeRuns(
  runs: readonly Run[],
  offset: number,
  memory: Uint8Array<ArrayBuffer>,
  start: number,
): SparseRun[] {
  return runs.map(({ start: at, length, hole }) => {
    const from = start + at;
    if (hole) return { kind: "hole", offset: offset + from, length };
    return { kind: "data", offset: offset + from, length, data: memory.subarray(from, from + length) };
  });
}
