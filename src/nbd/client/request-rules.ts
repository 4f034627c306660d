import type { SkinkError } from "../../block/errors.ts";
import { COMMAND, COMMAND_FLAG, FLAG } from "../wire/protocol.ts";
import type { Agreement } from "./agreement.ts";
import { badRequest } from "./errors.ts";
import { type ClientRequest, describeAction } from "./pending-request.ts";

/** What a request is about, as far as rules go. */
export type CheckedRequest = Pick<ClientRequest, "type" | "flags" | "offset" | "length" | "verb">;

/** What an export has to offer for a command, and the word for it. */
const NEEDED = new Map<number, { readonly flag: number; readonly name: string }>([
  [COMMAND.FLUSH, { flag: FLAG.FLUSH, name: "flush" }],
  [COMMAND.TRIM, { flag: FLAG.TRIM, name: "trim" }],
  [COMMAND.WRITE_ZEROES, { flag: FLAG.WRITE_ZEROES, name: "zero" }],
  [COMMAND.CACHE, { flag: FLAG.CACHE, name: "cache" }],
  [COMMAND.RESIZE, { flag: FLAG.RESIZE, name: "resize" }],
]);

/** What can't be said on the wire at all: a `bad-request` for it. */
export function unspeakable({ verb, offset, length }: CheckedRequest): SkinkError | undefined {
  if (isByteCount(offset) && isByteCount(length)) return undefined;
  return badRequest(describeAction(verb, offset, length), "these are no numbers of bytes", "a whole number from 0 on");
}

/** A `bad-request` for what a server should not be asked, be it that it can't do it or that the range isn't one of its. */
export function forbidden(request: CheckedRequest, agreement: Agreement): SkinkError | undefined {
  const { type, flags, offset, length, verb } = request;
  const action = () => describeAction(verb, offset, length);
  const can = (flag: number) => (agreement.flags & flag) !== 0;
  const needed = NEEDED.get(type);
  if (needed !== undefined && !can(needed.flag))
    return badRequest(action(), `the export has no ${needed.name}`, "one that has");
  if (can(FLAG.READ_ONLY) && isWriter(type)) return badRequest(action(), "the export is read-only", "a writable one");
  if ((flags & COMMAND_FLAG.FUA) !== 0 && !can(FLAG.FUA))
    return badRequest(action(), "the export has no FUA", "one that has, or a flush");
  if ((flags & COMMAND_FLAG.FAST_ZERO) !== 0 && !can(FLAG.FAST_ZERO))
    return badRequest(action(), "the export has no fast zero", "one that has");
  return type === COMMAND.RESIZE || type === COMMAND.FLUSH ? undefined : badRange(request, agreement);
}

/** Whether there is nothing to do: what servers make of a range without bytes is not specified. */
export function isEmpty({ type, length }: CheckedRequest): boolean {
  return length === 0 && type !== COMMAND.FLUSH && type !== COMMAND.RESIZE;
}

function badRange({ type, offset, length, verb }: CheckedRequest, agreement: Agreement): SkinkError | undefined {
  const { size, minimumBlockSize: block } = agreement;
  const action = () => describeAction(verb, offset, length);
  if (length === 0 && type === COMMAND.BLOCK_STATUS) return badRequest(action(), "it has no bytes", "a range that has");
  if (offset > size || length > size - offset)
    return badRequest(action(), `the export has ${size} bytes`, "a range within them");
  // An export that is no whole number of blocks ends in the middle of one.
  if (offset % block !== 0 || (length % block !== 0 && offset + length !== size))
    return badRequest(action(), `the export's blocks have ${block} bytes`, "whole blocks of it");
  return undefined;
}

function isWriter(type: number): boolean {
  return type === COMMAND.WRITE || type === COMMAND.TRIM || type === COMMAND.WRITE_ZEROES || type === COMMAND.RESIZE;
}

function isByteCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
