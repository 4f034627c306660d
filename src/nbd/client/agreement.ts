import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import { decodeInfo } from "../wire/option-replies.ts";
import { DEFAULT_PREFERRED_BLOCK_BYTES, OPTION_REPLY, type ReplyStyle } from "../wire/protocol.ts";
import { badServer } from "./errors.ts";
import type { OptionReply } from "./haggle.ts";

/** What was agreed on. Sizes in bytes. */
export interface Agreement {
  readonly name: string;
  readonly description: string;
  readonly size: number;
  /** Transmission flags. */
  readonly flags: number;
  readonly structured: boolean;
  /** Requests and replies have extended headers. */
  readonly extended: boolean;
  /** Those that were selected: their names by their ids. */
  readonly contexts: ReadonlyMap<number, string>;
  /** The id of base:allocation, where it was selected. */
  readonly allocationId: number | undefined;
  readonly minimumBlockSize: number;
  readonly preferredBlockSize: number;
  readonly maximumPayload: number;
}

/** What the protocol says of an export of which the server says nothing. */
export function assumed(name: string, style: ReplyStyle): Agreement {
  return {
    name,
    description: "",
    size: 0,
    flags: 0,
    structured: style !== "simple",
    extended: style === "extended",
    contexts: new Map(),
    allocationId: undefined,
    minimumBlockSize: 1,
    preferredBlockSize: DEFAULT_PREFERRED_BLOCK_BYTES,
    maximumPayload: MAX_PAYLOAD_BYTES,
  };
}

/** The export as the replies to INFO or GO describe it. Throws `bad-server`. */
export function informed(assumption: Agreement, replies: readonly OptionReply[]): Agreement {
  let agreement = assumption;
  let isThere = false;
  for (const { type, data } of replies) {
    if (type !== OPTION_REPLY.INFO) continue;
    const info = decodeInfo(data);
    if (info === undefined) throw badServer("it sent malformed information about the export");
    if (info === "unknown") continue;
    switch (info.kind) {
      case "export":
        agreement = { ...agreement, size: info.size, flags: info.flags };
        isThere = true;
        break;
      case "name":
        agreement = { ...agreement, name: info.text };
        break;
      case "description":
        agreement = { ...agreement, description: info.text };
        break;
      case "blockSize":
        agreement = withBlockSizes(agreement, info);
        break;
    }
  }
  if (!isThere) throw badServer("it chose an export and did not say its size");
  return agreement;
}

interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

function withBlockSizes(agreement: Agreement, { minimum, preferred, maximum }: BlockSizes): Agreement {
  const isPowerOfTwo = minimum > 0 && Number.isInteger(Math.log2(minimum));
  if (!isPowerOfTwo || preferred < minimum || maximum < minimum)
    throw badServer(`its block sizes are ${minimum}, ${preferred} and ${maximum} bytes`);
  return { ...agreement, minimumBlockSize: minimum, preferredBlockSize: preferred, maximumPayload: maximum };
}

/** What an export can't have lost while nobody looked: a word on it; `undefined` where it is still what it was, or more. */
export function difference(before: Agreement, after: Agreement): string | undefined {
  if (after.size < before.size) return `its size is ${after.size} bytes, and was ${before.size}`;
  if (after.flags !== before.flags) return `its flags are ${after.flags}, and were ${before.flags}`;
  if (after.extended !== before.extended || after.structured !== before.structured)
    return "the server's replies have another format";
  for (const key of ["minimumBlockSize", "preferredBlockSize", "maximumPayload"] as const)
    if (after[key] !== before[key]) return `its ${key} is ${after[key]} bytes, and was ${before[key]}`;
  const missing = [...before.contexts.values()].find((name) => ![...after.contexts.values()].includes(name));
  return missing === undefined ? undefined : `it has lost the context ${missing}`;
}
