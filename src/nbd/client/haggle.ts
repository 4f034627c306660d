import type { ConnectionOptions } from "node:tls";
import { SkinkError } from "../../block/errors.ts";
import { decodeGreeting, encodeClientFlags, GREETING_BYTES } from "../wire/greeting.ts";
import { decodeOptionReplyHeader, OPTION_REPLY_HEADER_BYTES } from "../wire/option-replies.ts";
import { encodeOption } from "../wire/options.ts";
import { HANDSHAKE_FLAG, OPTION, OPTION_REPLY, type ReplyStyle } from "../wire/protocol.ts";
import { decodeString } from "../wire/strings.ts";
import { viewOf } from "../wire/view.ts";
import { badServer, tlsFailed } from "./errors.ts";

const MAX_OPTION_REPLY_BYTES = 64 << 10;
/** All replies to one option together, with their headers: bounds a server that never ends its list. */
const MAX_OPTION_REPLIES_BYTES = 16 << 20;
export const NO_DATA = new Uint8Array(0);

/** The bytes of a connection in order: how a handshake reads and writes. */
export interface ByteStream {
  /** The next `count` bytes, the caller's own. */
  read(count: number): Promise<Uint8Array>;
  write(bytes: Uint8Array): void;
  /** Encrypts what follows. Rejects with `tls-failed`, or `bad-server` where plain text has come already. */
  startTls(options: ConnectionOptions): Promise<void>;
}

export interface OptionReply {
  readonly type: number;
  readonly data: Uint8Array;
}

/** A handshake whose greeting is over: options go out, and their replies come back. */
export class Haggle {
  readonly stream: ByteStream;
  /** Whether the zeroes after EXPORT_NAME are left out. */
  readonly noZeroes: boolean;

  /**
   * Greets, and encrypts where `tls` is there: then a server that has no TLS is `tls-failed`, since whoever sits between
   * could have said so.
   */
  static async begin(stream: ByteStream, tls: ConnectionOptions | undefined): Promise<Haggle> {
    const flags = decodeGreeting(viewOf(await stream.read(GREETING_BYTES)));
    if (flags === undefined) throw badServer("its greeting is not that of a newstyle NBD server");
    if ((flags & HANDSHAKE_FLAG.FIXED_NEWSTYLE) === 0) throw badServer("it does not speak fixed newstyle");
    const noZeroes = (flags & HANDSHAKE_FLAG.NO_ZEROES) !== 0;
    stream.write(encodeClientFlags({ fixedNewstyle: true, noZeroes }));
    const haggle = new Haggle(stream, noZeroes);
    if (tls === undefined) return haggle;
    const replies = await haggle.ask(OPTION.STARTTLS, NO_DATA);
    if (!accepted(replies)) throw tlsFailed(`it answered STARTTLS with ${said(replies.at(-1))}`);
    await stream.startTls(tls);
    return haggle;
  }

  private constructor(stream: ByteStream, noZeroes: boolean) {
    this.stream = stream;
    this.noZeroes = noZeroes;
  }

  /** Sends an option and collects the replies, the last one an ACK or an error. */
  async ask(option: number, data: Uint8Array): Promise<OptionReply[]> {
    this.stream.write(encodeOption(option, data));
    const replies: OptionReply[] = [];
    for (let bytes = 0; bytes <= MAX_OPTION_REPLIES_BYTES; ) {
      const header = decodeOptionReplyHeader(viewOf(await this.stream.read(OPTION_REPLY_HEADER_BYTES)));
      if (header === undefined || header.option !== option) throw badServer("its reply belongs to no option");
      const { type, length } = header;
      if (length > MAX_OPTION_REPLY_BYTES) throw badServer(`its reply is ${length} bytes long`);
      replies.push({ type, data: length === 0 ? NO_DATA : await this.stream.read(length) });
      if (type === OPTION_REPLY.ACK || isError(type)) return replies;
      bytes += OPTION_REPLY_HEADER_BYTES + length;
    }
    throw badServer("it never ends its replies to an option");
  }

  /** Agrees on the best style of replies that both know, up to `best`, if it is there. */
  async agreeOnReplies(best: ReplyStyle = "extended"): Promise<ReplyStyle> {
    if (best === "extended" && accepted(await this.ask(OPTION.EXTENDED_HEADERS, NO_DATA))) return "extended";
    if (best !== "simple" && accepted(await this.ask(OPTION.STRUCTURED_REPLY, NO_DATA))) return "structured";
    return "simple";
  }

  /** Says goodbye, and waits for what the server says to that: it may just close, too. */
  async abort(): Promise<void> {
    await this.ask(OPTION.ABORT, NO_DATA).catch(() => {});
  }
}

export function accepted(replies: readonly OptionReply[]): boolean {
  return replies.at(-1)?.type === OPTION_REPLY.ACK;
}

/** The error for an option that the server did not accept, and that was to do `action`. */
export function refused(action: string, reply: OptionReply | undefined): SkinkError {
  return new SkinkError(
    codeOf(reply?.type),
    `Cannot ${action}: the server answered ${said(reply)}, success was wanted`,
  );
}

/** What was to be done with an export: for messages. */
export function useOf(name: string): string {
  return `use NBD export ${JSON.stringify(name)}`;
}

function codeOf(type: number | undefined): string {
  if (type === OPTION_REPLY.ERR_UNKNOWN) return "unknown-export";
  return type === OPTION_REPLY.ERR_TLS_REQD ? "tls-required" : "refused-export";
}

const ERROR_NAMES = new Map<number, string>(Object.entries(OPTION_REPLY).map(([name, type]) => [type, name]));

/** The name of an error, and what the server says of it, if it does; in one line. */
function said(reply: OptionReply | undefined): string {
  const type = reply?.type ?? 0;
  const name = ERROR_NAMES.get(type) ?? `error ${type & 0x7fff_ffff}`;
  const text = reply === undefined ? undefined : decodeString(reply.data);
  return text === undefined || text === "" ? name : `${name}, ${JSON.stringify(text)}`;
}

function isError(type: number): boolean {
  return type >= 0x8000_0000;
}
