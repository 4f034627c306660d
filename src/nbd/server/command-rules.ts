import { ERRNO, type Errno } from "../../block/errors.ts";
import type { Geometry } from "../../block/geometry.ts";
import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import { isWriter, type RequestKind } from "../../block/request.ts";
import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import type { RequestHeader } from "../wire/requests.ts";

/** What the client may do with commands, beside the geometry. */
export interface CommandContext {
  readonly geometry: Geometry;
  readonly structured: boolean;
  readonly allocation: boolean;
}

/** The kind of request that a command asks for; `undefined` for a command nobody knows. DISC isn't one. */
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
  if (offset > geometry.size || length > geometry.size - offset) {
    return kind === "write" || kind === "zero" ? ERRNO.ENOSPC : ERRNO.EINVAL;
  }
  return offset % geometry.blockSize === 0 && length % geometry.blockSize === 0 ? 0 : ERRNO.EINVAL;
}

/** FUA, where it is advertised, is taken on every command; each other flag on its own one alone. */
function allowedFlags(kind: RequestKind, { geometry, structured }: CommandContext): number {
  const fua = geometry.readOnly ? 0 : COMMAND_FLAG.FUA;
  switch (kind) {
    case "read":
      return fua | (structured ? COMMAND_FLAG.DF : 0);
    case "zero":
      return fua | COMMAND_FLAG.NO_HOLE | COMMAND_FLAG.FAST_ZERO;
    case "extents":
      return fua | COMMAND_FLAG.REQ_ONE;
    default:
      return fua;
  }
}
