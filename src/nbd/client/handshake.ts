import type { ConnectionOptions } from "node:tls";
import { SkinkError } from "../../block/errors.ts";
import {
  decodeExportNameReply,
  decodeMetaContext,
  EXPORT_NAME_REPLY_BYTES,
  EXPORT_NAME_ZEROES,
} from "../wire/option-replies.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from "../wire/options.ts";
import { ALLOCATION_CONTEXT, INFO, OPTION, OPTION_REPLY, type ReplyStyle } from "../wire/protocol.ts";
import { encodeString } from "../wire/strings.ts";
import { viewOf } from "../wire/view.ts";
import { type Agreement, assumed, informed } from "./agreement.ts";
import { badServer } from "./errors.ts";
import { accepted, type ByteStream, Haggle, type OptionReply, refused, useOf } from "./haggle.ts";

/** What a client asks of a server. */
export interface Terms {
  /** The export; empty for the default one. */
  readonly name: string;
  /** The names of the contexts to select; those that the export doesn't have are left out. */
  readonly contexts: readonly string[];
  /** The best style to ask for; "extended" if left out. */
  readonly replies: ReplyStyle | undefined;
  /** For `tls.connect`; plain text where it is left out. */
  readonly tls: ConnectionOptions | undefined;
}

/** What INFO and GO are asked about. */
export const WANTED_INFO = [INFO.NAME, INFO.DESCRIPTION, INFO.BLOCK_SIZE];

/**
 * Chooses an export. Rejects with `unknown-export`, `refused-export`, `tls-required`, `tls-failed` or `bad-server`.
 *
 *   greeting ─▶ STARTTLS ─▶ EXTENDED_HEADERS ─▶ STRUCTURED_REPLY ─▶ SET_META_CONTEXT ─▶ GO ─▶ EXPORT_NAME
 *               if asked for                    if not extended     if either           if GO is unknown
 */
export async function negotiate(stream: ByteStream, terms: Terms): Promise<Agreement> {
  const { name } = terms;
  const haggle = await Haggle.begin(stream, terms.tls);
  const style = await haggle.agreeOnReplies(terms.replies);
  const contexts = style === "simple" ? new Map<number, string>() : await selectContexts(haggle, terms);
  const allocationId = [...contexts].find(([, context]) => context === ALLOCATION_CONTEXT)?.[0];
  const assumption = { ...assumed(name, style), contexts, allocationId };
  const replies = await haggle.ask(OPTION.GO, encodeInfoRequest({ name, wanted: WANTED_INFO }));
  const isUnknown = replies.at(-1)?.type === OPTION_REPLY.ERR_UNSUP;
  if (!isUnknown && !accepted(replies)) throw refused(useOf(name), replies.at(-1));
  if (isUnknown && style === "extended") throw badServer("it has extended headers and no GO");
  const agreement = isUnknown ? await exportName(haggle, assumption) : informed(assumption, replies);
  if (agreement.size > Number.MAX_SAFE_INTEGER) throw tooLarge(agreement);
  return agreement;
}

/** The contexts of an option's replies, which must have been accepted: names by ids. */
export function contextsOf(replies: readonly OptionReply[]): Map<number, string> {
  const contexts = new Map<number, string>();
  for (const { type, data } of replies) {
    if (type !== OPTION_REPLY.META_CONTEXT) continue;
    const context = decodeMetaContext(data);
    if (context === undefined) throw badServer("it sent a malformed context");
    contexts.set(context.id, context.name);
  }
  return contexts;
}

async function selectContexts(haggle: Haggle, { name, contexts }: Terms): Promise<Map<number, string>> {
  if (contexts.length === 0) return new Map();
  const replies = await haggle.ask(OPTION.SET_META_CONTEXT, encodeMetaContextRequest({ name, queries: contexts }));
  return accepted(replies) ? contextsOf(replies) : new Map();
}

/** How servers without GO are asked. They close the connection where the name is unknown. */
async function exportName({ stream, noZeroes }: Haggle, assumption: Agreement): Promise<Agreement> {
  stream.write(encodeOption(OPTION.EXPORT_NAME, encodeString(assumption.name)));
  const reply = await stream.read(EXPORT_NAME_REPLY_BYTES);
  if (!noZeroes) await stream.read(EXPORT_NAME_ZEROES);
  return { ...assumption, ...decodeExportNameReply(viewOf(reply), 0) };
}

function tooLarge({ name, size }: Agreement): SkinkError {
  const what = `it has ${size} bytes, at most ${Number.MAX_SAFE_INTEGER}, which numbers tell apart, were wanted`;
  return new SkinkError("refused-export", `Cannot ${useOf(name)}: ${what}`);
}
