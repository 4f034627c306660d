import { MIN_BLOCK_SIZE } from "../../block/geometry.ts";
import { COMMAND } from "../../nbd/wire/protocol.ts";
import { encodeRequest, REQUEST_BYTES, type RequestHeader } from "../../nbd/wire/requests.ts";
import { viewOf } from "../../nbd/wire/view.ts";
import type { WireFault } from "../plan.ts";
import { elsewhere } from "./elsewhere.ts";
import { latenessOf } from "./lateness.ts";
import type { Trigger } from "./trigger.ts";

/** Of a simple reply. */
const COOKIE_AT = 8;
const DATA_AT = 16;
/** What a late server is late with. */
const TIMED: readonly number[] = [COMMAND.READ, COMMAND.WRITE, COMMAND.FLUSH, COMMAND.TRIM, COMMAND.WRITE_ZEROES];

/** What an export is; bytes. */
export interface ExportFacts {
  size: number;
  blockSize: number;
}

/** Where a reply goes. */
export interface ReplyEnds {
  send(bytes: Buffer): void;
  hangUp(): void;
}

/** What goes wrong between a client and a server, on all connections of one incarnation. */
export class RelayFaults {
  readonly #fault: WireFault;
  readonly #trigger: Trigger;

  constructor(fault: WireFault, trigger: Trigger) {
    this.#fault = fault;
    this.#trigger = trigger;
  }

  /** The bytes of a request as it goes on; `undefined`: it doesn't, and is said to be done. `payload` may be changed. */
  request(request: Readonly<RequestHeader>, payload: Buffer, { size, blockSize }: ExportFacts): Buffer | undefined {
    const { type, offset, length } = request;
    const isWrite = type === COMMAND.WRITE;
    switch (this.#fault.kind) {
      case "corrupt":
        if (isWrite && this.#trigger.pull()) flipBit(payload);
        break;
      case "lost":
        if ((isWrite || type === COMMAND.WRITE_ZEROES) && this.#trigger.pull()) return undefined;
        break;
      case "torn": {
        const whole = Math.floor(length / 2 / blockSize) * blockSize;
        if (!isWrite || whole === 0 || !this.#trigger.pull()) break;
        return encoded({ ...request, length: whole }, payload.subarray(0, whole));
      }
      case "misdirected-read":
      case "misdirected-write": {
        const strikes = this.#fault.kind === "misdirected-write" ? isWrite : type === COMMAND.READ;
        const other = elsewhere(offset, length, size);
        if (!strikes || other === undefined || !this.#trigger.pull()) break;
        return encoded({ ...request, offset: other }, payload);
      }
    }
    return encoded(request, payload);
  }

  /** Passes on the simple reply to a request of that type. `bytes` may be changed, and are sent later, perhaps. */
  reply(type: number, bytes: Buffer, ends: ReplyEnds): void {
    const { kind } = this.#fault;
    switch (kind) {
      case "corrupt":
        if (bytes.length > DATA_AT && this.#trigger.pull()) flipBit(bytes.subarray(DATA_AT));
        break;
      case "late":
        if (!TIMED.includes(type) || !this.#trigger.pull()) break;
        setTimeout(() => ends.send(bytes), latenessOf(this.#fault));
        return;
      case "wrong-tag":
        if (this.#trigger.pull()) for (let at = COOKIE_AT; at < DATA_AT; at++) bytes[at] = ~(bytes[at] ?? 0);
        break;
      case "short":
        if (!this.#trigger.pull()) break;
        ends.send(bytes.subarray(0, bytes.length >>> 1));
        return ends.hangUp();
      case "twice":
        if (this.#trigger.pull()) ends.send(bytes);
        break;
    }
    ends.send(bytes);
  }
}

/** What is known of an export before the server has said anything. */
export function unknownExport(): ExportFacts {
  return { size: 0, blockSize: MIN_BLOCK_SIZE };
}

function encoded(request: Readonly<RequestHeader>, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES + payload.length);
  encodeRequest(viewOf(bytes), 0, request);
  bytes.set(payload, REQUEST_BYTES);
  return bytes;
}

/** In the middle of what is read or written. */
function flipBit(bytes: Buffer): void {
  const middle = bytes.length >>> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
}
