import assert from "node:assert/strict";
import { COMMAND, INFO, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { type Asked, ByteReader, FLAGS_BYTES, readOption, readRequest } from "./client-reader.ts";
import { ReplyJudge, type ReplyRules } from "./reply-judge.ts";

const GREETING_BYTES = 18;
const NBDMAGIC = 0x4e42444d41474943n;
const IHAVEOPT = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
const MAX_STRING_BYTES = 4096;
const NO_ZEROES = 1 << 1;
const FIXED_NEWSTYLE = 1 << 0;
const EXPORT_BYTES = 10;
const EXPORT_ZEROES = 124;

/** What one session came to. */
export interface Judged {
  /** Options of the client that came in whole, up to the last one that was answered. */
  readonly options: number;
  /** Commands that came in whole, but for DISC. */
  readonly requests: readonly Asked[];
  readonly rules: ReplyRules;
  /** How many of them have their whole reply. */
  readonly answered: number;
  /** Which reply is whose could be told to the end. */
  readonly certain: boolean;
  /** The client said goodbye, by ABORT or DISC, or sent what ends a stream. */
  readonly over: boolean;
  /** Where the replies to commands begin in what was received; where it ends, if there are none. */
  readonly repliesAt: number;
}

/**
 * Reads what a client sent and what it was answered, side by side, and throws an AssertionError at the first thing that
 * a server may not do. It shares no code with the codecs that it judges. `open`: the server has not closed the connection.
 *
 *   greeting ◀
 *            ▶ flags
 *            ▶ option   ┐ for each, replies until the last one,
 *   replies  ◀          ┘ or the end of the connection
 *            ▶ request … replies ◀ in any order, matched by their cookies
 */
export function judge(sent: Buffer, received: Buffer, open: boolean): Judged {
  return new Judge(sent, received, open).run();
}

/** What has been agreed on so far. */
type Agreed = { -readonly [Rule in keyof ReplyRules]: ReplyRules[Rule] } & { contexts: Set<number> };

const nothing = (): Agreed => ({ structured: false, extended: false, contexts: new Set() });

class Judge {
  readonly #sent: ByteReader;
  readonly #received: ByteReader;
  readonly #open: boolean;
  #agreed = nothing();
  #options = 0;

  constructor(sent: Buffer, received: Buffer, open: boolean) {
    this.#sent = new ByteReader(sent);
    this.#received = new ByteReader(received);
    this.#open = open;
  }

  run(): Judged {
    const received = this.#received;
    assert.equal(received.u64(), NBDMAGIC, "the greeting");
    assert.equal(received.u64(), IHAVEOPT, "the greeting");
    assert.equal(received.u16(), FIXED_NEWSTYLE | NO_ZEROES, "the flags of the greeting");
    assert.equal(received.at, GREETING_BYTES);
    if (this.#sent.left < FLAGS_BYTES) return this.#end(false);
    const flags = this.#sent.u32();
    if ((flags & ~(FIXED_NEWSTYLE | NO_ZEROES)) !== 0) return this.#mustHaveClosed("an unknown client flag");
    for (;;) {
      const option = readOption(this.#sent);
      if (option === "incomplete") return this.#end(false);
      if (option === "lost") return this.#mustHaveClosed("an option without its magic");
      if (this.#received.left === 0) return this.#mustHaveClosed(`an unanswered option ${option.number}`);
      this.#options++;
      assert((flags & FIXED_NEWSTYLE) !== 0 || option.number === OPTION.EXPORT_NAME, "old newstyle has one option");
      if (option.number === OPTION.EXPORT_NAME) {
        assert(!this.#agreed.extended, "EXPORT_NAME does not go with extended headers");
        this.#received.skip(EXPORT_BYTES + ((flags & NO_ZEROES) !== 0 ? 0 : EXPORT_ZEROES));
        return this.#transmission();
      }
      const last = this.#replies(option.number, option.data);
      if (last !== OPTION_REPLY.ACK) continue;
      if (option.number === OPTION.ABORT) return this.#end(true);
      if (option.number === OPTION.GO) return this.#transmission();
    }
  }

  /** All replies to an option; the type of the last. */
  #replies(option: number, data: Buffer): number {
    const seen = new Set<number>();
    // A selection is forgotten even where the next one fails.
    if (option === OPTION.SET_META_CONTEXT) this.#agreed.contexts = new Set();
    for (;;) {
      const received = this.#received;
      assert.equal(received.u64(), OPTION_REPLY_MAGIC, "the magic of an option's reply");
      assert.equal(received.u32(), option, "a reply names its option");
      const type = received.u32();
      const body = received.take(received.u32());
      if (type >= 0x8000_0000) {
        assert(body.length <= MAX_STRING_BYTES, "an error's message has at most 4096 bytes");
        assert(!body.includes(0) && body.equals(Buffer.from(body.toString())), "an error's message is UTF-8");
        if (option === OPTION.SET_META_CONTEXT) this.#agreed.contexts = new Set();
        return type;
      }
      switch (type) {
        case OPTION_REPLY.ACK:
          assert.equal(body.length, 0, "an ACK has no data");
          this.#acknowledged(option, data, seen);
          return type;
        case OPTION_REPLY.SERVER:
          assert.equal(option, OPTION.LIST, "a SERVER reply is for LIST");
          assert(body.readUInt32BE(0) <= body.length - 4, "the name lies within its reply");
          break;
        case OPTION_REPLY.INFO:
          assert(option === OPTION.INFO || option === OPTION.GO, "an INFO reply is for INFO or GO");
          seen.add(body.readUInt16BE(0));
          break;
        case OPTION_REPLY.META_CONTEXT:
          assert(option === OPTION.LIST_META_CONTEXT || option === OPTION.SET_META_CONTEXT, "contexts come unasked");
          if (option === OPTION.SET_META_CONTEXT) this.#agreed.contexts.add(body.readUInt32BE(0));
          break;
        default:
          assert.fail(`an option is answered with an unknown reply ${type}`);
      }
    }
  }

  #acknowledged(option: number, data: Buffer, infos: ReadonlySet<number>): void {
    switch (option) {
      case OPTION.ABORT:
        return;
      case OPTION.LIST:
      case OPTION.STRUCTURED_REPLY:
      case OPTION.EXTENDED_HEADERS:
      case OPTION.STARTTLS:
        assert.equal(data.length, 0, `option ${option} with data succeeds`);
        if (option === OPTION.STRUCTURED_REPLY) this.#agreed.structured = true;
        if (option === OPTION.EXTENDED_HEADERS) this.#agreed.extended = true;
        if (option === OPTION.STARTTLS) this.#agreed = nothing();
        return;
      case OPTION.INFO:
      case OPTION.GO:
        assert(infos.has(INFO.EXPORT), "INFO and GO tell of the export");
        return;
      case OPTION.SET_META_CONTEXT:
        assert(this.#agreed.structured || this.#agreed.extended, "contexts need structured replies");
        return;
      case OPTION.LIST_META_CONTEXT:
        return;
      default:
        assert.fail(`the unknown option ${option} succeeds`);
    }
  }

  #transmission(): Judged {
    const { extended } = this.#agreed;
    const requests: Asked[] = [];
    const repliesAt = this.#received.at;
    let over = false;
    for (;;) {
      const request = readRequest(this.#sent, extended);
      over = request === "lost" || (typeof request === "object" && request.type === COMMAND.DISC);
      if (typeof request === "string" || over) break;
      requests.push(request);
    }
    const replies = new ReplyJudge(requests, this.#agreed);
    const answered = replies.read(this.#received);
    // With several requests of one cookie under way nobody can tell whose simple reply it is, and how long that is.
    if (!replies.ambiguous) assert.equal(this.#received.left, 0, "the last reply is whole");
    return {
      options: this.#options,
      requests,
      rules: this.#agreed,
      answered,
      certain: !replies.ambiguous,
      over,
      repliesAt,
    };
  }

  #mustHaveClosed(what: string): Judged {
    assert(!this.#open, `${what} leaves the connection open`);
    return this.#end(true);
  }

  /** Nothing more may have come. */
  #end(over: boolean): Judged {
    assert.equal(this.#received.left, 0, "an answer to what was not asked");
    const { at: repliesAt } = this.#received;
    return { options: this.#options, requests: [], rules: this.#agreed, answered: 0, certain: true, over, repliesAt };
  }
}
