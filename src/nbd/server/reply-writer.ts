import assert from "node:assert/strict";
import type { Errno } from "../../block/errors.ts";
import type { Payload } from "../../block/memory.ts";
import type { ReplyStyle } from "../wire/protocol.ts";
import {
  DATA_HEAD_BYTES,
  ERROR_BODY_BYTES,
  EXTENDED,
  encodeDataChunk,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeNoneChunk,
  encodeSimpleReply,
  encodeStatusChunk,
  HOLE_BODY_BYTES,
  SIMPLE_REPLY_BYTES,
  STRUCTURED,
} from "../wire/replies.ts";
import { ALLOCATION_ID } from "./choice.ts";
import type { Command } from "./command.ts";
import { HOLE_GRAIN_BYTES, isZeroGrain } from "./holes.ts";
import type { Transport } from "./transport.ts";

/**
 * Puts replies on the wire. With structured replies, READ and BLOCK_STATUS get chunks, an error too; all others get
 * simple replies, which are shorter. With extended headers all get chunks.
 * Source: "Structured reply chunk message", "Extended reply chunk message".
 */
export class ReplyWriter {
  readonly #transport: Transport;
  readonly #style: ReplyStyle;
  readonly #layout;
  readonly #scratch = new Uint8Array(64);
  readonly #view = new DataView(this.#scratch.buffer);
  // Prefixes of the scratch, so that a reply allocates nothing.
  readonly #simple = this.#scratch.subarray(0, SIMPLE_REPLY_BYTES);
  readonly #none;
  readonly #data;
  readonly #hole;
  readonly #error;

  constructor(transport: Transport, style: ReplyStyle) {
    this.#transport = transport;
    this.#style = style;
    this.#layout = style === "extended" ? EXTENDED : STRUCTURED;
    const { headerBytes } = this.#layout;
    this.#none = this.#scratch.subarray(0, headerBytes);
    this.#data = this.#scratch.subarray(0, headerBytes + DATA_HEAD_BYTES);
    this.#hole = this.#scratch.subarray(0, headerBytes + HOLE_BODY_BYTES);
    this.#error = this.#scratch.subarray(0, headerBytes + ERROR_BODY_BYTES);
  }

  /** The one reply to `command`. Calls `command.sent` when nothing of it is referred to any more. */
  write(command: Command, errno: Errno): void {
    command.sends = 1;
    if (!this.#inChunks(command)) this.#writeSimple(command, errno);
    else if (errno !== 0) this.#writeError(command, errno);
    else if (command.kind === "read") this.#writeRead(command);
    else if (command.kind === "extents") this.#writeStatus(command);
    else this.#writeNone(command);
    command.sent();
  }

  #inChunks({ kind }: Command): boolean {
    return this.#style === "extended" || (this.#style === "structured" && (kind === "read" || kind === "extents"));
  }

  #writeSimple(command: Command, errno: Errno): void {
    encodeSimpleReply(this.#view, command, errno);
    this.#transport.send(this.#simple);
    if (command.kind === "read" && errno === 0 && command.payload !== undefined) {
      this.#sendPart(command, command.payload, 0, command.length);
    }
  }

  #writeError(command: Command, errno: Errno): void {
    encodeErrorChunk(this.#view, this.#layout, command, errno);
    this.#transport.send(this.#error);
  }

  #writeNone(command: Command): void {
    encodeNoneChunk(this.#view, this.#layout, command);
    this.#transport.send(this.#none);
  }

  #writeStatus(command: Command): void {
    const { extents, one } = command;
    assert(extents !== undefined && extents.length > 0, "a successful block status has an extent");
    this.#transport.send(encodeStatusChunk(this.#layout, command, ALLOCATION_ID, extents, one));
  }

  #writeRead(command: Command): void {
    const { payload, length } = command;
    if (payload === undefined || length === 0) {
      this.#writeNone(command);
    } else if (command.whole || length < HOLE_GRAIN_BYTES) {
      this.#writeRun(command, payload, 0, length, false);
    } else {
      this.#writeRuns(command, payload);
    }
  }

  /** Runs of zeroes go out as holes: a chunk a run. */
  #writeRuns(command: Command, payload: Payload): void {
    const { length } = command;
    let runStart = 0;
    let runIsHole = isZeroGrain(payload, 0, Math.min(HOLE_GRAIN_BYTES, length));
    for (let at = HOLE_GRAIN_BYTES; at < length; at += HOLE_GRAIN_BYTES) {
      const hole = isZeroGrain(payload, at, Math.min(HOLE_GRAIN_BYTES, length - at));
      if (hole === runIsHole) continue;
      this.#writeRun(command, payload, runStart, at, runIsHole);
      runStart = at;
      runIsHole = hole;
    }
    this.#writeRun(command, payload, runStart, length, runIsHole);
  }

  /** The chunk for the bytes from `start` to `end` of the read. */
  #writeRun(command: Command, payload: Payload, start: number, end: number, hole: boolean): void {
    const done = end === command.length;
    const offset = command.offset + start;
    if (hole) {
      encodeHoleChunk(this.#view, this.#layout, command, done, offset, end - start);
      this.#transport.send(this.#hole);
    } else {
      encodeDataChunk(this.#view, this.#layout, command, done, offset, end - start);
      this.#transport.send(this.#data);
      this.#sendPart(command, payload, start, end - start);
    }
  }

  #sendPart(command: Command, payload: Payload, start: number, length: number): void {
    command.sends++;
    this.#transport.sendPayload(payload, start, length, command.sent);
  }
}
