import { SkinkError } from "../../block/errors.ts";
import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import { decodeGreeting, encodeClientFlags, GREETING_BYTES } from "../wire/greeting.ts";
import {
  decodeExportNameReply,
  decodeInfo,
  decodeMetaContext,
  decodeOptionReplyHeader,
  decodeServer,
  EXPORT_NAME_REPLY_BYTES,
  EXPORT_NAME_ZEROES,
  OPTION_REPLY_HEADER_BYTES,
} from "../wire/option-replies.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from "../wire/options.ts";
import {
  ALLOCATION_CONTEXT,
  DEFAULT_PREFERRED_BLOCK_BYTES,
  HANDSHAKE_FLAG,
  INFO,
  OPTION,
  OPTION_REPLY,
} from "../wire/protocol.ts";
import { decodeString, encodeString } from "../wire/strings.ts";
import { viewOf } from "../wire/view.ts";
import { badServer } from "./errors.ts";

/** The bytes of a connection in order: how a handshake reads and writes. */
export interface ByteStream {
  /** The next `count` bytes, the caller's own. */
  read(count: number): Promise<Uint8Array>;
  write(bytes: Uint8Array): void;
}

/** What was agreed on. Sizes in bytes. */
export interface Agreement {
  readonly name: string;
  readonly description: string;
  readonly size: number;
  readonly flags: number;
  readonly structured: boolean;
  /** The id of base:allocation, where it was selected. */
  readonly allocationId: number | undefined;
  readonly minimumBlockSize: number;
  readonly preferredBlockSize: number;
  readonly maximumPayload: number;
}

export interface ListedExport {
  readonly name: string;
  readonly description: string;
}

const MAX_OPTION_REPLY_BYTES = 64 << 10;
/** Replies to one option; bounds a server that never ends its list. */
const MAX_OPTION_REPLIES = 10_000;
const NO_DATA = new Uint8Array(0);

/** Chooses the export `name`. Rejects with `unknown-export`, `refused-export` or `bad-server`. */
export async function negotiate(stream: ByteStream, name: string): Promise<Agreement> {
  const noZeroes = await greet(stream);
  const structured = accepted(await ask(stream, OPTION.STRUCTURED_REPLY, NO_DATA));
  const allocationId = structured ? await selectAllocation(stream, name) : undefined;
  const wanted = [INFO.NAME, INFO.DESCRIPTION, INFO.BLOCK_SIZE];
  const replies = await ask(stream, OPTION.GO, encodeInfoRequest({ name, wanted }));
  const last = replies.at(-1);
  if (last?.type === OPTION_REPLY.ERR_UNSUP) return exportName(stream, name, structured, allocationId, noZeroes);
  if (last?.type !== OPTION_REPLY.ACK) throw refused(name, last);

  const agreement = { ...defaults(name, structured, allocationId), size: -1, flags: 0 };
  for (const reply of replies) {
    if (reply.type !== OPTION_REPLY.INFO) continue;
    const info = decodeInfo(reply.data);
    if (info === undefined) throw badServer("it sent malformed information about the export");
    if (info === "unknown") continue;
    if (info.kind === "export") {
      agreement.size = info.size;
      agreement.flags = info.flags;
    } else if (info.kind === "name") agreement.name = info.text;
    else if (info.kind === "description") agreement.description = info.text;
    else {
      agreement.minimumBlockSize = info.minimum;
      agreement.preferredBlockSize = info.preferred;
      agreement.maximumPayload = info.maximum;
    }
  }
  if (agreement.size < 0) throw badServer("it chose an export and did not say its size");
  return agreement;
}

/** All exports, then ends the handshake. Rejects with `refused-export` where the server doesn't list. */
export async function listExports(stream: ByteStream): Promise<ListedExport[]> {
  await greet(stream);
  const replies = await ask(stream, OPTION.LIST, NO_DATA);
  if (!accepted(replies)) throw refused("", replies.at(-1));
  const exports: ListedExport[] = [];
  for (const { type, data } of replies) {
    if (type !== OPTION_REPLY.SERVER) continue;
    const listed = decodeServer(data);
    if (listed === undefined) throw badServer("it sent a malformed list of exports");
    exports.push(listed);
  }
  stream.write(encodeOption(OPTION.ABORT, NO_DATA));
  return exports;
}

interface OptionReply {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Whether the zeroes after EXPORT_NAME are left out. */
async function greet(stream: ByteStream): Promise<boolean> {
  const flags = decodeGreeting(viewOf(await stream.read(GREETING_BYTES)));
  if (flags === undefined) throw badServer("its greeting is not that of an NBD server");
  if ((flags & HANDSHAKE_FLAG.FIXED_NEWSTYLE) === 0) throw badServer("it does not speak fixed newstyle");
  const noZeroes = (flags & HANDSHAKE_FLAG.NO_ZEROES) !== 0;
  stream.write(encodeClientFlags({ fixedNewstyle: true, noZeroes }));
  return noZeroes;
}

/** Sends an option and collects the replies, the last one an ACK or an error. */
async function ask(stream: ByteStream, option: number, data: Uint8Array): Promise<OptionReply[]> {
  stream.write(encodeOption(option, data));
  const replies: OptionReply[] = [];
  while (replies.length < MAX_OPTION_REPLIES) {
    const header = decodeOptionReplyHeader(viewOf(await stream.read(OPTION_REPLY_HEADER_BYTES)));
    if (header === undefined || header.option !== option) throw badServer("its reply belongs to no option");
    if (header.length > MAX_OPTION_REPLY_BYTES) throw badServer(`its reply is ${header.length} bytes long`);
    replies.push({ type: header.type, data: header.length === 0 ? NO_DATA : await stream.read(header.length) });
    if (header.type === OPTION_REPLY.ACK || header.type >= 0x8000_0000) return replies;
  }
  throw badServer("it never ends its replies to an option");
}

function accepted(replies: readonly OptionReply[]): boolean {
  return replies.at(-1)?.type === OPTION_REPLY.ACK;
}

async function selectAllocation(stream: ByteStream, name: string): Promise<number | undefined> {
  const data = encodeMetaContextRequest({ name, queries: [ALLOCATION_CONTEXT] });
  const replies = await ask(stream, OPTION.SET_META_CONTEXT, data);
  if (!accepted(replies)) return undefined;
  for (const { type, data } of replies) {
    const context = type === OPTION_REPLY.META_CONTEXT ? decodeMetaContext(data) : undefined;
    if (context?.name === ALLOCATION_CONTEXT) return context.id;
  }
  return undefined;
}

/** How servers without GO are asked. They close the connection where the name is unknown. */
async function exportName(
  stream: ByteStream,
  name: string,
  structured: boolean,
  allocationId: number | undefined,
  noZeroes: boolean,
): Promise<Agreement> {
  stream.write(encodeOption(OPTION.EXPORT_NAME, encodeString(name)));
  const reply = await stream.read(EXPORT_NAME_REPLY_BYTES);
  if (!noZeroes) await stream.read(EXPORT_NAME_ZEROES);
  return { ...defaults(name, structured, allocationId), ...decodeExportNameReply(viewOf(reply), 0) };
}

function defaults(name: string, structured: boolean, allocationId: number | undefined) {
  return {
    name,
    description: "",
    structured,
    allocationId,
    minimumBlockSize: 1,
    preferredBlockSize: DEFAULT_PREFERRED_BLOCK_BYTES,
    maximumPayload: MAX_PAYLOAD_BYTES,
  };
}

function refused(name: string, reply: OptionReply | undefined): SkinkError {
  const said = reply === undefined ? undefined : decodeString(reply.data);
  const what = said === undefined || said === "" ? `error ${(reply?.type ?? 0) & 0x7fff_ffff}` : `"${said}"`;
  const code = reply?.type === OPTION_REPLY.ERR_UNKNOWN ? "unknown-export" : "refused-export";
  return new SkinkError(code, `Cannot use NBD export "${name}": the server answered ${what}, success was wanted`);
}
