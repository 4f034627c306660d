import type { Errno } from "../block/errors.ts";
import type { Request } from "../block/request.ts";

/** What a device has counted since its front started. */
export interface DeviceCounters {
  reads: number;
  writes: number;
  zeroes: number;
  trims: number;
  flushes: number;
  readBytes: number;
  writtenBytes: number;
  /** Replies with an error. */
  errors: number;
  /** Flushes that no client asked for. */
  ownFlushes: number;
  failedFlushes: number;
  replayedPieces: number;
  reissuedRequests: number;
  /** Writes, zeroes and trims that the driver answered with an error. */
  refusedWrites: number;
  /** Acknowledged pieces that an incarnation would not take. */
  refusedReplays: number;
  /** Requests and pieces that kill. */
  convictions: number;
  /** Reads that found other data than was written, and those of them that were put right. */
  lies: number;
  curedLies: number;
  /** Completions of incarnations that had been given up. */
  lateCompletions: number;
}

export function newCounters(): DeviceCounters {
  return {
    reads: 0,
    writes: 0,
    zeroes: 0,
    trims: 0,
    flushes: 0,
    readBytes: 0,
    writtenBytes: 0,
    errors: 0,
    ownFlushes: 0,
    failedFlushes: 0,
    replayedPieces: 0,
    reissuedRequests: 0,
    refusedWrites: 0,
    refusedReplays: 0,
    convictions: 0,
    lies: 0,
    curedLies: 0,
    lateCompletions: 0,
  };
}

export function countReply(counters: DeviceCounters, request: Request, errno: Errno): void {
  if (errno !== 0) counters.errors++;
  switch (request.kind) {
    case "read":
      counters.reads++;
      counters.readBytes += request.length;
      break;
    case "write":
      counters.writes++;
      counters.writtenBytes += request.length;
      break;
    case "zero":
      counters.zeroes++;
      break;
    case "trim":
      counters.trims++;
      break;
    case "flush":
      counters.flushes++;
      break;
    default:
      break;
  }
}
