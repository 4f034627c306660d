import type { NbdClient } from "./client.ts";

/** A run of bytes of one nature, and where it is. */
export interface PlacedExtent {
  readonly offset: number;
  readonly length: number;
  /** Nothing is allocated. */
  readonly hole: boolean;
  /** It reads as zeroes. */
  readonly zero: boolean;
}

/** All extents of a range: like neighbours are one, and where the server stops early it is asked again. */
export async function* walkExtents(
  client: NbdClient,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<PlacedExtent, void, undefined> {
  if (!client.canBlockStatus) {
    if (length > 0) yield { offset, length, hole: false, zero: false };
    return;
  }
  const end = offset + length;
  let last: PlacedExtent | undefined;
  for (let at = offset; at < end; ) {
    for (const { length: told, hole, zero } of await client.blockStatus(at, end - at, { signal })) {
      // The last one may go on behind the range, and a server that says more than that is not believed.
      if (at >= end) break;
      const next = { offset: at, length: Math.min(told, end - at), hole, zero };
      at += next.length;
      if (last !== undefined && last.hole === next.hole && last.zero === next.zero) {
        last = { ...last, length: last.length + next.length };
      } else {
        if (last !== undefined) yield last;
        last = next;
      }
    }
  }
  if (last !== undefined) yield last;
}
