import { ERRNO, type Errno } from "../../block/errors.ts";
import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import type { Requester, RequestKind } from "../../block/request.ts";
import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import {
  decodeExtendedRequest,
  decodeRequest,
  decodeStatusQuery,
  EXTENDED_REQUEST_BYTES,
  newRequestHeader,
  REQUEST_BYTES,
} from "../wire/requests.ts";
import type { Staging } from "../wire/staging.ts";
import { ALLOCATION_ID, type Choice } from "./choice.ts";
import type { Command } from "./command.ts";
import { CommandPool } from "./command-pool.ts";
import { type CommandContext, checkCommand, checkResize, hasQuery, kindOf, payloadBytes } from "./command-rules.ts";
import { MAX_DRAINED_PAYLOAD_BYTES } from "./limits.ts";

/** A query of the one context that there is. A longer one asks for what isn't there, or twice. */
const MAX_QUERY_BYTES = 8 + 4;

/** Reads the requests of one connection off its staged bytes, and holds each against the rules. */
export class RequestReader {
  readonly #staging: Staging;
  readonly #context: CommandContext & { size: number };
  readonly #headerBytes: number;
  readonly #maxIncoming: number;
  readonly #commands: CommandPool;
  readonly #header = newRequestHeader();
  /** The header has been read, and what it asks for follows. */
  #querying = false;

  constructor(staging: Staging, choice: Choice, requester: Requester) {
    const { export: chosen, size, replies, allocation } = choice;
    this.#staging = staging;
    this.#context = {
      get geometry() {
        return chosen.device.geometry;
      },
      size,
      replies,
      allocation,
    };
    const extended = replies === "extended";
    this.#headerBytes = extended ? EXTENDED_REQUEST_BYTES : REQUEST_BYTES;
    this.#maxIncoming = extended ? MAX_PAYLOAD_BYTES : MAX_DRAINED_PAYLOAD_BYTES;
    this.#commands = new CommandPool(requester, chosen.device.reads);
  }

  /** Whether enough is staged to read on. */
  get ready(): boolean {
    return this.#staging.length >= (this.#querying ? this.#header.length : this.#headerBytes);
  }

  /**
   * The next command; what is staged behind it is its payload. "more": it is not all there. "disconnect": the client's
   * goodbye. "lost": the stream is, or a payload is longer than there can be.
   */
  read(): Command | "more" | "disconnect" | "lost" {
    if (!this.ready) return "more";
    if (this.#querying) return this.#readQuery();
    const header = this.#header;
    const { view, start } = this.#staging;
    const extended = this.#context.replies === "extended";
    const understood = extended ? decodeExtendedRequest(view, start, header) : decodeRequest(view, start, header);
    if (!understood) return "lost";
    this.#staging.skip(this.#headerBytes);
    if (header.type === COMMAND.DISC) return "disconnect";
    const incoming = payloadBytes(header, this.#context);
    if (incoming > this.#maxIncoming) return "lost";
    this.#querying = incoming <= MAX_QUERY_BYTES && hasQuery(header, this.#context);
    return this.#querying ? this.read() : this.#commandFrom(incoming);
  }

  #readQuery(): Command {
    const header = this.#header;
    this.#querying = false;
    const query = decodeStatusQuery(this.#staging.take(header.length));
    // One that makes no sense keeps its flag, which is then refused.
    if (query?.contexts.length === 1 && query.contexts[0] === ALLOCATION_ID) {
      header.flags &= ~COMMAND_FLAG.PAYLOAD_LEN;
      header.length = query.length;
    }
    return this.#commandFrom(0);
  }

  /** `incoming`: bytes of payload that are still to come. */
  #commandFrom(incoming: number): Command {
    const header = this.#header;
    const kind = kindOf(header.type);
    const command = this.#commands.take(kind ?? "flush", header, incoming);
    command.verdict = this.#verdictOn(kind);
    return command;
  }

  #verdictOn(kind: RequestKind | undefined): Errno | undefined {
    const header = this.#header;
    if (header.type === COMMAND.RESIZE) return this.#resize();
    if (kind === undefined) return ERRNO.EINVAL;
    const errno = checkCommand(kind, header, this.#context);
    const nothingToDo = header.length === 0 && kind !== "flush";
    return errno !== 0 || nothingToDo ? errno : undefined;
  }

  #resize(): Errno {
    const errno = checkResize(this.#header, this.#context);
    if (errno === 0) this.#context.size = this.#header.offset;
    return errno;
  }
}
