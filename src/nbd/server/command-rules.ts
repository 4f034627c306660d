import { ERRNO, type Errno } from "../../block/errors.ts";
import type { Geometry } from "../../block/geometry.ts";
import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import { isWriter, type RequestKind } from "../../block/request.ts";
import { COMMAND, COMMAND_FLAG, type ReplyStyle } from "../wire/protocol.ts";
import type { RequestHeader } from "../wire/requests.ts";
import { takesQueries } from "./exports.ts";

/** What the client may do with commands, beside the geometry. */
export interface CommandContext {
  readonly geometry: Geometry;
  /** Bytes, as the client was told or has found out by RESIZE since; the device may be larger. */
  readonly size: number;
  readonly replies: ReplyStyle;
  readonly allocation: boolean;
}

/** Bytes that follow a header, whatever becomes of the command. Source: "Request message". */
export function payloadBytes(header: Readonly<RequestHeader>, { replies }: CommandContext): number {
  const follows =
    replies === "extended" ? (header.flags & COMMAND_FLAG.PAYLOAD_LEN) !== 0 : header.type === COMMAND.WRITE;
  return follows ? header.length : 0;
}

/** Whether a command has a payload that says what it asks: of the commands but WRITE, BLOCK_STATUS alone may. */
export function hasQuery(header: Readonly<RequestHeader>, context: CommandContext): boolean {
  return header.type === COMMAND.BLOCK_STATUS && takesQueries(context) && payloadBytes(header, context) > 0;
}

/** The kind of request that a command asks for; `undefined` for one that isn't for the device, or that nobody knows. */
export function kindOf(type: number): RequestKind | undefined {
  switch (type) {
    case COMMAND.READ:
      return "read";
    case COMMAND.WRITE:
      return "write";
    case COMMAND.FLUSH:
      return "flush";
    case COMMAND.TRIM:
      return "trim";
    case COMMAND.CACHE:
      return "cache";
    case COMMAND.WRITE_ZEROES:
      return "zero";
    case COMMAND.BLOCK_STATUS:
      return "extents";
    default:
      return undefined;
  }
}

/** Why a command is refused; 0 if it isn't. Source: "Error values", "Command flags", "Request types", "Block sizes". */
export function checkCommand(kind: RequestKind, header: Readonly<RequestHeader>, context: CommandContext): Errno {
  const { geometry } = context;
  if (geometry.readOnly && isWriter(kind)) return ERRNO.EPERM;
  if ((header.flags & ~allowedFlags(kind, context)) !== 0) return ERRNO.EINVAL;
  if (kind === "write" && context.replies === "extended" && (header.flags & COMMAND_FLAG.PAYLOAD_LEN) === 0)
    return ERRNO.EINVAL;
  const { offset, length } = header;
  switch (kind) {
    case "flush":
      return offset === 0 && length === 0 ? 0 : ERRNO.EINVAL;
    case "trim":
      if (!geometry.trim) return ERRNO.EINVAL;
      break;
    case "extents":
      if (!context.allocation || length === 0) return ERRNO.EINVAL;
      break;
    case "read":
    case "write":
      if (length > MAX_PAYLOAD_BYTES) return ERRNO.EINVAL;
      break;
    case "zero":
    case "cache":
  }
  if (offset > context.size || length > context.size - offset) {
    return kind === "write" || kind === "zero" ? ERRNO.ENOSPC : ERRNO.EINVAL;
  }
  return offset % geometry.blockSize === 0 && length % geometry.blockSize === 0 ? 0 : ERRNO.EINVAL;
}

/**
 * Why a RESIZE is refused; 0 if the client may have the size that it wants. The device grows by itself or not at all:
 * what a client can ask for is to see it. Source: "NBD_CMD_RESIZE".
 */
export function checkResize(header: Readonly<RequestHeader>, context: CommandContext): Errno {
  const { geometry } = context;
  const wanted = header.offset;
  if (geometry.readOnly) return ERRNO.EPERM;
  if ((header.flags & ~COMMAND_FLAG.FUA) !== 0 || header.length !== 0) return ERRNO.EINVAL;
  if (wanted % geometry.blockSize !== 0) return ERRNO.EINVAL;
  if (wanted < context.size) return ERRNO.EPERM;
  return wanted > geometry.size ? ERRNO.ENOSPC : 0;
}

/** FUA, where it is advertised, is taken on every command; each other flag on its own one alone. */
function allowedFlags(kind: RequestKind, { geometry, replies }: CommandContext): number {
  const fua = geometry.readOnly ? 0 : COMMAND_FLAG.FUA;
  switch (kind) {
    case "read":
      return fua | (replies === "simple" ? 0 : COMMAND_FLAG.DF);
    case "write":
      return fua | (replies === "extended" ? COMMAND_FLAG.PAYLOAD_LEN : 0);
    case "zero":
      return fua | COMMAND_FLAG.NO_HOLE | COMMAND_FLAG.FAST_ZERO;
    case "extents":
      return fua | COMMAND_FLAG.REQ_ONE;
    default:
      return fua;
  }
}
