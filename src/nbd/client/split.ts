import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import type { Agreement } from "./agreement.ts";
import type { ClientRequest } from "./pending-request.ts";

/** What goes out at most in one request without data where lengths have 32 bits: whole blocks of any size. */
const MAX_SHORT_EFFECT_BYTES = 2 ** 31;

/** The most data of one request: whole blocks. */
export function payloadLimit({ minimumBlockSize, maximumPayload }: Agreement): number {
  const most = Math.min(maximumPayload, MAX_PAYLOAD_BYTES);
  return Math.max(minimumBlockSize, most - (most % minimumBlockSize));
}

/** How long a range may be that one request without data is about. */
export function effectLimit({ extended }: Agreement): number {
  return extended ? Number.MAX_SAFE_INTEGER : MAX_SHORT_EFFECT_BYTES;
}

/**
 * Makes the parts of a request that is larger than `limit`, and waits for all of them, so that nothing is in use any more
 * when this settles. Rejects with the first part's error that has one.
 */
export async function inParts(
  length: number,
  limit: number,
  part: (start: number, length: number) => Promise<void>,
): Promise<void> {
  const parts: Promise<void>[] = [];
  for (let start = 0; start < length; start += limit) parts.push(part(start, Math.min(limit, length - start)));
  for (const result of await Promise.allSettled(parts)) if (result.status === "rejected") throw result.reason;
}

/** The part of a request that begins `start` bytes behind its offset. */
export function partOf(request: ClientRequest, start: number, length: number): ClientRequest {
  const { data, into } = request;
  return {
    ...request,
    offset: request.offset + start,
    length,
    ...(data === undefined ? {} : { data: data.subarray(start, start + length) }),
    ...(into === undefined ? {} : { into: into.subarray(start, start + length) }),
  };
}
