import { CLIENT_FLAGS_BYTES, GREETING_BYTES } from "../../nbd/wire/greeting.ts";
import {
  decodeExportNameReply,
  decodeInfo,
  decodeOptionReplyHeader,
  EXPORT_NAME_REPLY_BYTES,
  EXPORT_NAME_ZEROES,
  OPTION_REPLY_HEADER_BYTES,
} from "../../nbd/wire/option-replies.ts";
import { decodeOptionHeader, OPTION_HEADER_BYTES } from "../../nbd/wire/options.ts";
import {
  COMMAND,
  HANDSHAKE_FLAG,
  OPTION,
  OPTION_REPLY,
  REQUEST_MAGIC,
  SIMPLE_REPLY_MAGIC,
} from "../../nbd/wire/protocol.ts";
import { type Cookie, encodeSimpleReply, SIMPLE_REPLY_BYTES } from "../../nbd/wire/replies.ts";
import { decodeRequest, newRequestHeader, REQUEST_BYTES } from "../../nbd/wire/requests.ts";
import { viewOf } from "../../nbd/wire/view.ts";
import { Framer, type Parser } from "./framer.ts";
import { type RelayFaults, type ReplyEnds, unknownExport } from "./relay-faults.ts";

/** Options whose answer would be another format of what follows, or make it unreadable. */
const REFUSED: readonly number[] = [OPTION.STRUCTURED_REPLY, OPTION.EXTENDED_HEADERS, OPTION.STARTTLS];
/** In their place the server is asked for something that nobody knows, and refuses that in its turn. */
const UNKNOWN_OPTION = 0x5b1a_5b1a;
/** Where options and their replies say which option it is. */
const OPTION_AT = 8;
const MAGIC_BYTES = 4;

/** What comes of what was received. The bytes are the caller's. */
export interface RelayEnds extends ReplyEnds {
  toServer(bytes: Buffer): void;
}

/**
 * One connection of a client with a server, and what goes wrong on it. Replies are simple ones, since the server never learns
 * that the client knows others; whatever else is not struck passes unchanged. No I/O is done here.
 *
 *   client ──▶ flags, options, requests ──▶ server
 *   client ◀── greeting, replies ◀───────── server
 */
export class RelayedConnection {
  readonly #faults: RelayFaults;
  readonly #ends: RelayEnds;
  readonly #export = unknownExport();
  /** What the server has not answered: the type, and how much data its reply has. */
  readonly #requests = new Map<string, { readonly type: number; readonly bytes: number }>();
  /** Options that were refused on the server's behalf, in order. */
  readonly #refused: number[] = [];
  readonly #clientFramer: Framer;
  readonly #serverFramer: Framer;
  #noZeroes = false;
  /** The client has asked for its export in the old way, whose reply has no magic. */
  #asksByName = false;

  constructor(faults: RelayFaults, ends: RelayEnds) {
    this.#faults = faults;
    this.#ends = ends;
    this.#clientFramer = new Framer(this.#client());
    this.#serverFramer = new Framer(this.#server());
  }

  /** Throws where it isn't NBD. */
  fromClient(chunk: Buffer): void {
    this.#clientFramer.push(chunk);
  }

  /** Throws where it isn't NBD. */
  fromServer(chunk: Buffer): void {
    this.#serverFramer.push(chunk);
  }

  *#client(): Parser {
    const flags = yield CLIENT_FLAGS_BYTES;
    this.#noZeroes = (flags.readUInt32BE() & HANDSHAKE_FLAG.NO_ZEROES) !== 0;
    this.#ends.toServer(flags);
    for (;;) {
      const magic = yield MAGIC_BYTES;
      if (magic.readUInt32BE() === REQUEST_MAGIC) yield* this.#request(magic);
      else yield* this.#option(magic);
    }
  }

  *#option(magic: Buffer): Parser {
    const header = Buffer.concat([magic, yield OPTION_HEADER_BYTES - MAGIC_BYTES]);
    const { option, length } = known(decodeOptionHeader(viewOf(header), 0));
    const data = yield length;
    this.#asksByName = option === OPTION.EXPORT_NAME;
    if (REFUSED.includes(option)) {
      this.#refused.push(option);
      header.writeUInt32BE(UNKNOWN_OPTION, OPTION_AT);
    }
    this.#ends.toServer(Buffer.concat([header, data]));
  }

  *#request(magic: Buffer): Parser {
    const header = newRequestHeader();
    decodeRequest(viewOf(Buffer.concat([magic, yield REQUEST_BYTES - MAGIC_BYTES])), 0, header);
    const { type, length } = header;
    const payload = type === COMMAND.WRITE ? yield length : Buffer.alloc(0);
    const request = this.#faults.request(header, payload, this.#export);
    if (request === undefined) {
      const reply = Buffer.alloc(SIMPLE_REPLY_BYTES);
      encodeSimpleReply(viewOf(reply), header, 0);
      this.#ends.send(reply);
      return;
    }
    if (type !== COMMAND.DISC) this.#requests.set(keyOf(header), { type, bytes: type === COMMAND.READ ? length : 0 });
    this.#ends.toServer(request);
  }

  *#server(): Parser {
    this.#ends.send(yield GREETING_BYTES);
    for (;;) {
      const magic = yield MAGIC_BYTES;
      if (this.#asksByName) yield* this.#exportNameReply(magic);
      else if (magic.readUInt32BE() === SIMPLE_REPLY_MAGIC) yield* this.#reply(magic);
      else yield* this.#optionReply(magic);
    }
  }

  *#exportNameReply(start: Buffer): Parser {
    this.#asksByName = false;
    const zeroes = this.#noZeroes ? 0 : EXPORT_NAME_ZEROES;
    const reply = Buffer.concat([start, yield EXPORT_NAME_REPLY_BYTES - start.length + zeroes]);
    this.#export.size = decodeExportNameReply(viewOf(reply), 0).size;
    this.#ends.send(reply);
  }

  *#optionReply(magic: Buffer): Parser {
    const header = Buffer.concat([magic, yield OPTION_REPLY_HEADER_BYTES - MAGIC_BYTES]);
    const { option, type, length } = known(decodeOptionReplyHeader(viewOf(header)));
    const data = yield length;
    const refused = option === UNKNOWN_OPTION ? this.#refused.shift() : undefined;
    if (refused !== undefined) header.writeUInt32BE(refused, OPTION_AT);
    const info = type === OPTION_REPLY.INFO ? decodeInfo(data) : undefined;
    if (typeof info === "object" && info.kind === "export") this.#export.size = info.size;
    if (typeof info === "object" && info.kind === "blockSize") {
      this.#export.blockSize = Math.max(this.#export.blockSize, info.minimum);
    }
    this.#ends.send(Buffer.concat([header, data]));
  }

  *#reply(magic: Buffer): Parser {
    const header = Buffer.concat([magic, yield SIMPLE_REPLY_BYTES - MAGIC_BYTES]);
    const key = keyOf({ cookieHigh: header.readUInt32BE(8), cookieLow: header.readUInt32BE(12) });
    const { type, bytes } = known(this.#requests.get(key));
    this.#requests.delete(key);
    const isError = header.readUInt32BE(4) !== 0;
    const data = isError || bytes === 0 ? Buffer.alloc(0) : yield bytes;
    this.#faults.reply(type, Buffer.concat([header, data]), this.#ends);
  }
}

function keyOf({ cookieHigh, cookieLow }: Cookie): string {
  return `${cookieHigh}:${cookieLow}`;
}

function known<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error("what was received is not NBD");
  return value;
}
