import type { Errno } from "../../block/errors.ts";
import type { Payload } from "../../block/memory.ts";
import type { Extent, Request, Requester, RequestKind } from "../../block/request.ts";
import { COMMAND_FLAG } from "../wire/protocol.ts";
import type { ReplyTo } from "../wire/replies.ts";
import type { ReceivedRequest } from "../wire/requests.ts";

/**
 * A request of a client, from its header to the last byte of its reply. Reused: a connection's commands go back to it
 * when their replies have been sent.
 */
export class Command implements Request, ReplyTo {
  readonly requester: Requester;
  kind: RequestKind = "flush";
  offset = 0;
  length = 0;
  fua = false;
  mayTrim = false;
  fast = false;
  payload: Payload | undefined;
  extents: readonly Extent[] | undefined;

  cookieHigh = 0;
  cookieLow = 0;
  offsetHigh = 0;
  offsetLow = 0;
  /** Its answer, where the device need not be asked. */
  verdict: Errno | undefined;
  /** Bytes of payload that are behind it, and have to be read also where it is refused. */
  incoming = 0;
  /** The client wants one content chunk. */
  whole = false;
  /** The client wants one extent. */
  one = false;
  /** Parts of the payload that the transport still refers to, and one while more may be queued. */
  sends = 0;
  /** Called by the transport, once a part. */
  readonly sent: () => void;

  constructor(requester: Requester, sent: (command: Command) => void) {
    this.requester = requester;
    this.sent = () => sent(this);
  }

  set(kind: RequestKind, header: Readonly<ReceivedRequest>, incoming: number): void {
    const { flags } = header;
    this.kind = kind;
    this.offset = header.offset;
    this.length = header.length;
    this.fua = (flags & COMMAND_FLAG.FUA) !== 0 && (kind === "write" || kind === "zero" || kind === "trim");
    this.mayTrim = kind === "zero" && (flags & COMMAND_FLAG.NO_HOLE) === 0;
    this.fast = (flags & COMMAND_FLAG.FAST_ZERO) !== 0;
    this.payload = undefined;
    this.extents = undefined;
    this.cookieHigh = header.cookieHigh;
    this.cookieLow = header.cookieLow;
    this.offsetHigh = header.offsetHigh;
    this.offsetLow = header.offsetLow;
    this.verdict = undefined;
    this.incoming = incoming;
    this.whole = (flags & COMMAND_FLAG.DF) !== 0;
    this.one = (flags & COMMAND_FLAG.REQ_ONE) !== 0;
    this.sends = 0;
  }

  /** Bytes of data that it moves. */
  get dataBytes(): number {
    return this.kind === "read" || this.kind === "write" ? this.length : 0;
  }
}
