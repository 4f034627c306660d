import { appendExtent } from "../../block/extents.ts";
import type { Extent } from "../../block/request.ts";

/**
 * A server's extents as runs of whole blocks, from a block's beginning on: its own may begin and end at any byte. A
 * block that isn't a hole, or zeroes, as a whole is data, which is always a safe answer.
 */
export function blockExtents(extents: readonly Extent[], blockSize: number): Extent[] {
  const runs: Extent[] = [];
  let at = 0;
  let covered = 0;
  for (const { length, hole, zero } of extents) {
    const from = roundUp(at, blockSize);
    const until = roundDown(at + length, blockSize);
    at += length;
    if ((!hole && !zero) || until <= from) continue;
    appendExtent(runs, from - covered, false, false);
    appendExtent(runs, until - from, hole, zero);
    covered = until;
  }
  appendExtent(runs, roundUp(at, blockSize) - covered, false, false);
  return runs;
}

function roundDown(bytes: number, blockSize: number): number {
  return bytes - (bytes % blockSize);
}

function roundUp(bytes: number, blockSize: number): number {
  return roundDown(bytes + blockSize - 1, blockSize);
}
