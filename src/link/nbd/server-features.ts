import { SkinkError } from "../../block/errors.ts";
import { isBlockSize, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE } from "../../block/geometry.ts";
import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import type { Agreement } from "../../nbd/client/agreement.ts";
import { effectLimit, payloadLimit } from "../../nbd/client/split.ts";
import { FLAG } from "../../nbd/wire/protocol.ts";
import type { DriverInfo } from "../../shadow/ports.ts";

/** What a link needs to know of a server beside the device that it makes. Bytes. */
export interface ServerFeatures {
  readonly fastZero: boolean;
  readonly multiConn: boolean;
  /** The most data of one request. */
  readonly maxPayload: number;
  /** The most that one request without data may concern. */
  readonly maxEffect: number;
}

/**
 * The device that a server offers, in the words of drivers. `wantsWrites`: it is to be written to. Throws `bad-server` for
 * one that can't be a device of ours.
 */
export function deviceOf(agreement: Agreement, wantsWrites: boolean): DriverInfo {
  const can = (flag: number) => (agreement.flags & flag) !== 0;
  const { size, minimumBlockSize } = agreement;
  const blockSize = Math.max(MIN_BLOCK_SIZE, minimumBlockSize);
  if (!isBlockSize(blockSize)) {
    throw refused(`its smallest block is ${minimumBlockSize} bytes`, `a power of two up to ${MAX_BLOCK_SIZE}`);
  }
  if (!Number.isSafeInteger(size)) throw refused(`its size is ${size} bytes`, "less than 8 PiB");
  if (size < blockSize) {
    throw refused(`its size is ${size} bytes`, `at least one block of ${blockSize} bytes`);
  }
  const readOnly = can(FLAG.READ_ONLY);
  if (wantsWrites && !readOnly && !can(FLAG.FLUSH)) {
    throw refused(
      "it takes writes and has no flush, so nothing is ever known to be durable",
      "a flush, or read-only use",
    );
  }
  return {
    geometry: {
      size: size - (size % blockSize),
      blockSize,
      ...preferred(agreement.preferredBlockSize, blockSize),
      readOnly,
      fua: !readOnly && can(FLAG.FUA),
      trim: !readOnly && can(FLAG.TRIM),
      zero: !readOnly && can(FLAG.WRITE_ZEROES),
      extents: agreement.allocationId !== undefined,
    },
    // The protocol names exports, not stores; what has become of one is told by its contents.
    identity: undefined,
    discards: false,
  };
}

export function featuresOf(agreement: Agreement, blockSize: number): ServerFeatures {
  return {
    fastZero: (agreement.flags & FLAG.FAST_ZERO) !== 0,
    multiConn: (agreement.flags & FLAG.CAN_MULTI_CONN) !== 0,
    maxPayload: payloadLimit({ ...agreement, minimumBlockSize: blockSize }),
    maxEffect: effectLimit(agreement),
  };
}

/** Of what a server says, what makes sense. */
function preferred(bytes: number, blockSize: number): { preferredBlockSize?: number } {
  const makesSense = bytes >= blockSize && bytes <= MAX_PAYLOAD_BYTES && Number.isInteger(Math.log2(bytes));
  return makesSense ? { preferredBlockSize: bytes } : {};
}

function refused(is: string, wanted: string): SkinkError {
  return new SkinkError("bad-server", `Cannot use the NBD server as a driver: ${is}, ${wanted} was wanted`);
}
