import type { Errno } from "../../block/errors.ts";
import type { Payload } from "../../block/memory.ts";
import {
  CHUNK_HEADER_BYTES,
  DATA_CHUNK_BYTES,
  ERROR_CHUNK_BYTES,
  encodeDataChunk,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeNoneChunk,
  encodeSimpleReply,
  encodeStatusChunk,
  HOLE_CHUNK_BYTES,
  SIMPLE_REPLY_BYTES,
} from "../wire/replies.ts";
import type { Command } from "./command.ts";
import { ALLOCATION_ID } from "./handshake.ts";
import { HOLE_GRAIN_BYTES, isZeroGrain } from "./holes.ts";
import type { Transport } from "./transport.ts";

/**
 * Puts replies on the wire. With structured replies, READ and BLOCK_STATUS get chunks, an error too; all others get
 * simple replies, which are shorter. Source: "Structured reply message".
 */
export class ReplyWriter {
  readonly #transport: Transport;
  readonly #structured: boolean;
  readonly #scratch = new Uint8Array(64);
  readonly #view = new DataView(this.#scratch.buffer);
  // Prefixes of the scratch, so that a reply allocates nothing.
  readonly #simple = this.#scratch.subarray(0, SIMPLE_REPLY_BYTES);
  readonly #none = this.#scratch.subarray(0, CHUNK_HEADER_BYTES);
  readonly #data = this.#scratch.subarray(0, DATA_CHUNK_BYTES);
  readonly #hole = this.#scratch.subarray(0, HOLE_CHUNK_BYTES);
  readonly #error = this.#scratch.subarray(0, ERROR_CHUNK_BYTES);

  constructor(transport: Transport, structured: boolean) {
    this.#transport = transport;
    this.#structured = structured;
  }

  /** The one reply to `command`. Calls `command.sent` when nothing of it is referred to any more. */
  write(command: Command, errno: Errno): void {
    command.sends = 1;
    const chunks = this.#structured && (command.kind === "read" || command.kind === "extents");
    if (!chunks) this.#writeSimple(command, errno);
    else if (errno !== 0) this.#writeError(command, errno);
    else if (command.kind === "read") this.#writeRead(command);
    else this.#transport.send(encodeStatusChunk(command, ALLOCATION_ID, command.extents ?? [], command.one));
    command.sent();
  }

  #writeSimple(command: Command, errno: Errno): void {
    encodeSimpleReply(this.#view, command, errno);
    this.#transport.send(this.#simple);
    if (command.kind === "read" && errno === 0 && command.payload !== undefined) {
      this.#sendPart(command, command.payload, 0, command.length);
    }
  }

  #writeError(command: Command, errno: Errno): void {
    encodeErrorChunk(this.#view, command, errno);
    this.#transport.send(this.#error);
  }

  #writeRead(command: Command): void {
    const { payload, length } = command;
    if (payload === undefined || length === 0) {
      encodeNoneChunk(this.#view, command);
      this.#transport.send(this.#none);
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
      encodeHoleChunk(this.#view, command, done, offset, end - start);
      this.#transport.send(this.#hole);
    } else {
      encodeDataChunk(this.#view, command, done, offset, end - start);
      this.#transport.send(this.#data);
      this.#sendPart(command, payload, start, end - start);
    }
  }

  #sendPart(command: Command, payload: Payload, start: number, length: number): void {
    command.sends++;
    this.#transport.sendPayload(payload, start, length, command.sent);
  }
}
