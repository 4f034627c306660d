import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import type { BlockDevice } from "../../shadow/ports.ts";
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
import { ALLOCATION_CONTEXT, INFO, OPTION, OPTION_REPLY, type ReplyStyle } from "../wire/protocol.ts";
import type { Staging } from "../wire/staging.ts";
import { decodeString } from "../wire/strings.ts";
import { ALLOCATION_ID, type Choice } from "./choice.ts";
import { type Export, type Exports, findExport, preferredBlockSize, transmissionFlags } from "./exports.ts";
import { MAX_DRAINED_OPTION_BYTES } from "./limits.ts";
import { type TlsMode, type TlsState, type Verdict, verdictOn } from "./option-verdict.ts";
import type { Transport } from "./transport.ts";

/**
 * `more`: it needs more bytes. `drop`: close at once. `end`: send what is queued, then close. `startTls`: encrypt the
 * connection, then go on with `secured`.
 */
export type Outcome =
  | { readonly name: "more" | "drop" | "end" | "startTls" }
  | { readonly name: "chosen"; readonly choice: Choice };

/** What was agreed on so far. STARTTLS forgets it as a whole (CVE-2021-3716). */
interface Agreement {
  replies: ReplyStyle;
  /** The export for which base:allocation was selected last. */
  allocationFor: Export | undefined;
  /** What INFO told: a device that grows before GO keeps its size for this client. */
  readonly sizes: Map<BlockDevice, number>;
}

export interface HandshakePorts {
  readonly transport: Transport;
  readonly exports: Exports;
  readonly staging: Staging;
  readonly tls: TlsMode;
  /** The most options. */
  readonly maxOptions: number;
}

/** The haggling of fixed newstyle, the server's side. Source: "Fixed newstyle negotiation" and "Option types". */
export class Handshake {
  readonly #transport: Transport;
  readonly #exports: Exports;
  readonly #maxOptions: number;
  #staging: Staging;
  #tls: TlsState;
  #clientFlags: ClientFlags | undefined;
  #options = 0;
  /** Data of an option that is dropped as it comes, and the answer when it has. */
  #draining: { readonly option: number; readonly verdict: Verdict; left: number } | undefined;
  #agreed = nothingAgreed();
  #shuttingDown = false;

  /** Greets at once. */
  constructor(ports: HandshakePorts) {
    this.#transport = ports.transport;
    this.#exports = ports.exports;
    this.#staging = ports.staging;
    this.#tls = ports.tls;
    this.#maxOptions = ports.maxOptions;
    ports.transport.send(encodeGreeting());
  }

  /** The connection is encrypted from here on, and what comes is staged in `staging`. */
  secured(staging: Staging): void {
    this.#staging = staging;
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
    const verdict = verdictOn(option, length, this.#tls, this.#shuttingDown);
    if (verdict === undefined && staging.length < OPTION_HEADER_BYTES + length) return { name: "more" };

    staging.skip(OPTION_HEADER_BYTES);
    if (++this.#options > this.#maxOptions || length > MAX_DRAINED_OPTION_BYTES) return { name: "drop" };
    // The old newstyle knows one option alone, whose only error is a disconnect.
    if (!client.fixedNewstyle && option !== OPTION.EXPORT_NAME) return { name: "drop" };
    if (verdict === undefined) return this.#answer(option, staging.take(length), client);
    if (option === OPTION.EXPORT_NAME) return { name: "drop" };
    this.#draining = { option, verdict, left: length };
    return undefined;
  }

  #drain(): Outcome | undefined {
    if (this.#draining === undefined) return undefined;
    const taken = Math.min(this.#draining.left, this.#staging.length);
    this.#staging.skip(taken);
    this.#draining.left -= taken;
    if (this.#draining.left > 0) return { name: "more" };
    const { option, verdict } = this.#draining;
    this.#draining = undefined;
    this.#transport.send(encodeOptionError(option, verdict.reply, verdict.message));
    return verdict.last ? { name: "end" } : undefined;
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
      case OPTION.STARTTLS:
        return this.#startTls(data);
      case OPTION.STRUCTURED_REPLY:
        return this.#structuredReply(data);
      case OPTION.EXTENDED_HEADERS:
        if (data.length > 0) return this.#invalid(option, "EXTENDED_HEADERS has no data");
        this.#agreed.replies = "extended";
        return this.#ack(option);
      default:
        return this.#metaContext(option, data);
    }
  }

  #exportName(data: Uint8Array, client: ClientFlags): Outcome {
    const name = decodeString(data);
    const found = name === undefined ? undefined : findExport(this.#exports, name);
    if (found === undefined || this.#agreed.replies === "extended") return { name: "drop" };
    const choice = this.#choiceOf(found);
    const flags = transmissionFlags(found.device.geometry, choice);
    this.#transport.send(encodeExportNameReply(choice.size, flags, client.noZeroes));
    return { name: "chosen", choice };
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
    const choice = this.#choiceOf(found);
    const flags = transmissionFlags(geometry, choice);
    this.#transport.send(encodeInfo(option, { kind: "export", size: choice.size, flags }));
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
    if (option === OPTION.GO) return { name: "chosen", choice };
    this.#agreed.sizes.set(found.device, choice.size);
    return undefined;
  }

  #startTls(data: Uint8Array): Outcome | undefined {
    if (data.length > 0) return this.#invalid(OPTION.STARTTLS, "STARTTLS has no data");
    if (this.#tls === "started") return this.#invalid(OPTION.STARTTLS, "TLS has been started");
    this.#tls = "started";
    this.#agreed = nothingAgreed();
    this.#ack(OPTION.STARTTLS);
    return { name: "startTls" };
  }

  #structuredReply(data: Uint8Array): undefined {
    const option = OPTION.STRUCTURED_REPLY;
    if (data.length > 0) return this.#invalid(option, "STRUCTURED_REPLY has no data");
    if (this.#agreed.replies === "extended") {
      const message = "extended headers were agreed on, and there is no way back";
      this.#transport.send(encodeOptionError(option, OPTION_REPLY.ERR_EXT_HEADER_REQD, message));
      return undefined;
    }
    this.#agreed.replies = "structured";
    return this.#ack(option);
  }

  #metaContext(option: number, data: Uint8Array): undefined {
    const setting = option === OPTION.SET_META_CONTEXT;
    // Each attempt forgets what an earlier one selected, also where it fails.
    if (setting) this.#agreed.allocationFor = undefined;
    if (setting && this.#agreed.replies === "simple")
      return this.#invalid(option, "structured replies or extended headers have to be negotiated first");
    const request = decodeMetaContextRequest(data);
    if (request === undefined) return this.#invalid(option, "malformed name or query");
    const found = findExport(this.#exports, request.name);
    if (found === undefined) return this.#unknown(option);
    const { queries } = request;
    const listed = !setting && (queries.length === 0 || queries.includes("base:"));
    if (listed || queries.includes(ALLOCATION_CONTEXT)) {
      this.#transport.send(encodeMetaContext(option, setting ? ALLOCATION_ID : 0, ALLOCATION_CONTEXT));
      if (setting) this.#agreed.allocationFor = found;
    }
    return this.#ack(option);
  }

  /** What is agreed on if the client chooses that export. */
  #choiceOf(found: Export): Choice {
    const { replies, allocationFor, sizes } = this.#agreed;
    const { device } = found;
    const size = sizes.get(device) ?? device.geometry.size;
    return { export: found, size, replies, allocation: allocationFor?.device === device };
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

function nothingAgreed(): Agreement {
  return { replies: "simple", allocationFor: undefined, sizes: new Map() };
}
