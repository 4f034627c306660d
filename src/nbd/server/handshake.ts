import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import { CLIENT_FLAGS_BYTES, type ClientFlags, decodeClientFlags, encodeGreeting } from "../wire/greeting.ts";
import {
  encodeExportNameReply,
  encodeInfo,
  encodeMetaContext,
  encodeOptionError,
  encodeOptionReply,
  encodeServer,
} from "../wire/option-replies.ts";
import {
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeOptionHeader,
  OPTION_HEADER_BYTES,
} from "../wire/options.ts";
import { ALLOCATION_CONTEXT, INFO, OPTION, OPTION_REPLY, type OptionReplyType } from "../wire/protocol.ts";
import type { Staging } from "../wire/staging.ts";
import { decodeString } from "../wire/strings.ts";
import { type Export, type Exports, findExport, preferredBlockSize, transmissionFlags } from "./exports.ts";
import { MAX_DRAINED_OPTION_BYTES, MAX_OPTION_BYTES } from "./limits.ts";
import type { Transport } from "./transport.ts";

/** The id under which base:allocation is known on the wire. */
export const ALLOCATION_ID = 1;

/** What client and server have agreed on. */
export interface Choice {
  readonly export: Export;
  readonly structured: boolean;
  /** base:allocation was selected, for this very export. */
  readonly allocation: boolean;
}

/** `more`: it needs more bytes. `drop`: close at once. `end`: send what is queued, then close. */
export type Outcome = { readonly name: "more" | "drop" | "end" } | { readonly name: "chosen"; readonly choice: Choice };

/** Options that we know, and whose data has to be there in one piece. */
const KNOWN: ReadonlySet<number> = new Set([
  OPTION.EXPORT_NAME,
  OPTION.LIST,
  OPTION.INFO,
  OPTION.GO,
  OPTION.STRUCTURED_REPLY,
  OPTION.LIST_META_CONTEXT,
  OPTION.SET_META_CONTEXT,
]);

/** The haggling of fixed newstyle, the server's side. Source: "Fixed newstyle negotiation" and "Option types". */
export class Handshake {
  readonly #transport: Transport;
  readonly #exports: Exports;
  readonly #staging: Staging;
  readonly #maxOptions: number;
  #clientFlags: ClientFlags | undefined;
  #options = 0;
  /** Data of an option that is dropped as it comes, and the answer when it has. */
  #draining: { option: number; left: number; reply: OptionReplyType; message: string } | undefined;
  #structured = false;
  /** The export for which base:allocation was selected last. */
  #allocationFor: Export | undefined;
  #shuttingDown = false;

  constructor(transport: Transport, exports: Exports, staging: Staging, maxOptions: number) {
    this.#transport = transport;
    this.#exports = exports;
    this.#staging = staging;
    this.#maxOptions = maxOptions;
    transport.send(encodeGreeting());
  }

  /** From here on options are answered SHUTDOWN. */
  shutdown(): void {
    this.#shuttingDown = true;
  }

  /** Goes as far as the staged bytes allow. */
  proceed(): Outcome {
    for (;;) {
      const outcome = this.#step();
      if (outcome !== undefined) return outcome;
    }
  }

  #step(): Outcome | undefined {
    if (this.#clientFlags === undefined) return this.#readClientFlags();
    if (this.#draining !== undefined) return this.#drain();
    return this.#readOption(this.#clientFlags);
  }

  #readClientFlags(): Outcome | undefined {
    if (this.#staging.length < CLIENT_FLAGS_BYTES) return { name: "more" };
    this.#clientFlags = decodeClientFlags(this.#staging.view.getUint32(this.#staging.start));
    this.#staging.skip(CLIENT_FLAGS_BYTES);
    return this.#clientFlags === undefined ? { name: "drop" } : undefined;
  }

  #readOption(client: ClientFlags): Outcome | undefined {
    const staging = this.#staging;
    if (staging.length < OPTION_HEADER_BYTES) return { name: "more" };
    const header = decodeOptionHeader(staging.view, staging.start);
    if (header === undefined) return { name: "drop" };
    const { option, length } = header;
    const known = KNOWN.has(option);
    const inOnePiece = known && length <= MAX_OPTION_BYTES && !this.#shuttingDown;
    if (inOnePiece && staging.length < OPTION_HEADER_BYTES + length) return { name: "more" };

    staging.skip(OPTION_HEADER_BYTES);
    if (++this.#options > this.#maxOptions || length > MAX_DRAINED_OPTION_BYTES) return { name: "drop" };
    // The old newstyle knows one option alone, whose only error is a disconnect.
    if (!client.fixedNewstyle && option !== OPTION.EXPORT_NAME) return { name: "drop" };
    if (inOnePiece) return this.#answer(option, staging.take(length), client);
    if (option === OPTION.EXPORT_NAME) return { name: "drop" };

    const drop = { option, left: length };
    if (option === OPTION.ABORT) this.#draining = { ...drop, reply: OPTION_REPLY.ACK, message: "" };
    else if (this.#shuttingDown)
      this.#draining = { ...drop, reply: OPTION_REPLY.ERR_SHUTDOWN, message: "the server is shutting down" };
    else if (known) this.#draining = { ...drop, reply: OPTION_REPLY.ERR_TOO_BIG, message: "too much data" };
    else this.#draining = { ...drop, reply: OPTION_REPLY.ERR_UNSUP, message: "unsupported option" };
    return undefined;
  }

  #drain(): Outcome | undefined {
    if (this.#draining === undefined) return undefined;
    const taken = Math.min(this.#draining.left, this.#staging.length);
    this.#staging.skip(taken);
    this.#draining.left -= taken;
    if (this.#draining.left > 0) return { name: "more" };
    const { option, reply, message } = this.#draining;
    this.#draining = undefined;
    this.#transport.send(encodeOptionError(option, reply, message));
    return option === OPTION.ABORT || this.#shuttingDown ? { name: "end" } : undefined;
  }

  #answer(option: number, data: Uint8Array, client: ClientFlags): Outcome | undefined {
    switch (option) {
      case OPTION.EXPORT_NAME:
        return this.#exportName(data, client);
      case OPTION.LIST:
        return this.#list(data);
      case OPTION.INFO:
      case OPTION.GO:
        return this.#info(option, data);
      case OPTION.STRUCTURED_REPLY:
        if (data.length > 0) return this.#invalid(option, "STRUCTURED_REPLY has no data");
        this.#structured = true;
        return this.#ack(option);
      default:
        return this.#metaContext(option, data);
    }
  }

  #exportName(data: Uint8Array, client: ClientFlags): Outcome {
    const name = decodeString(data);
    const found = name === undefined ? undefined : findExport(this.#exports, name);
    if (found === undefined) return { name: "drop" };
    const { geometry } = found.device;
    const flags = transmissionFlags(geometry, this.#structured);
    this.#transport.send(encodeExportNameReply(geometry.size, flags, client.noZeroes));
    return this.#chosen(found);
  }

  #list(data: Uint8Array): undefined {
    if (data.length > 0) return this.#invalid(OPTION.LIST, "LIST has no data");
    for (const { name, description } of this.#exports.list()) {
      this.#transport.send(encodeServer(OPTION.LIST, name, description));
    }
    return this.#ack(OPTION.LIST);
  }

  #info(option: number, data: Uint8Array): Outcome | undefined {
    const request = decodeInfoRequest(data);
    if (request === undefined) return this.#invalid(option, "malformed name or list of information");
    const found = findExport(this.#exports, request.name);
    if (found === undefined) return this.#unknown(option);
    const { geometry } = found.device;
    const flags = transmissionFlags(geometry, this.#structured);
    this.#transport.send(encodeInfo(option, { kind: "export", size: geometry.size, flags }));
    if (request.wanted.includes(INFO.NAME))
      this.#transport.send(encodeInfo(option, { kind: "name", text: found.name }));
    if (request.wanted.includes(INFO.DESCRIPTION) && found.description !== "")
      this.#transport.send(encodeInfo(option, { kind: "description", text: found.description }));
    // Also to those who did not ask, since smaller requests than the minimum are refused.
    this.#transport.send(
      encodeInfo(option, {
        kind: "blockSize",
        minimum: geometry.blockSize,
        preferred: preferredBlockSize(geometry),
        maximum: MAX_PAYLOAD_BYTES,
      }),
    );
    this.#ack(option);
    return option === OPTION.GO ? this.#chosen(found) : undefined;
  }

  #metaContext(option: number, data: Uint8Array): undefined {
    const setting = option === OPTION.SET_META_CONTEXT;
    // Each attempt forgets what an earlier one selected, also where it fails.
    if (setting) this.#allocationFor = undefined;
    if (setting && !this.#structured) return this.#invalid(option, "structured replies have to be negotiated first");
    const request = decodeMetaContextRequest(data);
    if (request === undefined) return this.#invalid(option, "malformed name or query");
    const found = findExport(this.#exports, request.name);
    if (found === undefined) return this.#unknown(option);
    const { queries } = request;
    const listed = !setting && (queries.length === 0 || queries.includes("base:"));
    if (listed || queries.includes(ALLOCATION_CONTEXT)) {
      this.#transport.send(encodeMetaContext(option, setting ? ALLOCATION_ID : 0, ALLOCATION_CONTEXT));
      if (setting) this.#allocationFor = found;
    }
    return this.#ack(option);
  }

  #chosen(found: Export): Outcome {
    const allocation = this.#allocationFor?.device === found.device;
    return { name: "chosen", choice: { export: found, structured: this.#structured, allocation } };
  }

  #ack(option: number): undefined {
    this.#transport.send(encodeOptionReply(option, OPTION_REPLY.ACK));
  }

  #invalid(option: number, message: string): undefined {
    this.#transport.send(encodeOptionError(option, OPTION_REPLY.ERR_INVALID, message));
  }

  #unknown(option: number): undefined {
    this.#transport.send(encodeOptionError(option, OPTION_REPLY.ERR_UNKNOWN, "no export of that name"));
  }
}
