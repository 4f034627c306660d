import assert from "node:assert/strict";
import { ERRNO, type Errno } from "../../block/errors.ts";
import { MAX_SLOT_BYTES } from "../../block/memory.ts";
import type { Request, Requester, RequestKind } from "../../block/request.ts";
import type { BlockDevice, Clock, Timer } from "../../shadow/ports.ts";
import { COMMAND } from "../wire/protocol.ts";
import { decodeRequest, newRequestHeader, REQUEST_BYTES } from "../wire/requests.ts";
import type { Staging } from "../wire/staging.ts";
import { Command } from "./command.ts";
import { type CommandContext, checkCommand, kindOf } from "./command-rules.ts";
import type { Choice } from "./handshake.ts";
import { MAX_DRAINED_WRITE_BYTES, type SessionLimits } from "./limits.ts";
import { ReplyWriter } from "./reply-writer.ts";
import { OUTPUT_HIGH_WATER_BYTES, type Transport } from "./transport.ts";

/** With at least this much of a write's data missing, it is received straight into the request's memory. */
const DIRECT_BYTES = 64 << 10;
/** After data received so, the next header is asked for alone, so that the data behind it isn't staged and copied. */
const SHORT_HINT_BYTES = 4 << 10;
const MAX_SPARE_COMMANDS = 128;

export interface TransmissionPorts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly limits: SessionLimits;
  readonly staging: Staging;
  readonly choice: Choice;
}

/**
 * What the next received byte is.
 *
 *   header ──▶ payload ──▶ header          a write's data comes in
 *     │  │ └──▶ drain ───▶ header          the data of a refused write
 *     │  └────▶ room ────▶ payload, header the device is at a limit; nothing is parsed or received
 *     └───────▶ throttled ▶ header         this client is at one of its limits; likewise
 *   any ──▶ ended                          nothing more is read: DISC, shutdown, hang-up, a lost stream
 */
type Input = "header" | "payload" | "drain" | "room" | "throttled" | "ended";

/** The transmission phase of one connection. Each command gets exactly one reply, unless its connection is gone (P7). */
export class Transmission implements Requester {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #limits: SessionLimits;
  readonly #staging: Staging;
  readonly #device: BlockDevice;
  readonly #context: CommandContext;
  readonly #writer: ReplyWriter;
  readonly #header = newRequestHeader();
  readonly #spare: Command[] = [];

  #input: Input = "header";
  /** The command that `payload`, `drain` and `room` are about. */
  #command: Command | undefined;
  /** Of its data, bytes that are there; in `drain`, bytes to come. */
  #progress = 0;
  #drainErrno: Errno = 0;
  /** When some of a write's data had come, and not all of it. */
  #heardAt = 0;
  #stopAsking: (() => void) | undefined;
  #wake: Timer | undefined;
  #hint: number;

  #paused = false;
  /** The transport was told to end. */
  #ending = false;
  /** The connection is gone: replies are dropped. */
  #dead = false;
  #shuttingDown = false;
  #inBatch = false;
  #submitted = false;
  #inFlight = 0;
  #inFlightBytes = 0;

  constructor(ports: TransmissionPorts) {
    this.#transport = ports.transport;
    this.#clock = ports.clock;
    this.#limits = ports.limits;
    this.#staging = ports.staging;
    this.#hint = ports.staging.bytes.length;
    const { export: chosen, structured, allocation } = ports.choice;
    this.#device = chosen.device;
    this.#context = {
      get geometry() {
        return chosen.device.geometry;
      },
      structured,
      allocation,
    };
    this.#writer = new ReplyWriter(ports.transport, structured);
  }

  /** Memory of a request, where its data should be received without a copy; else `undefined`. */
  directBuffer(): Uint8Array | undefined {
    const command = this.#command;
    if (this.#input !== "payload" || command?.payload === undefined) return undefined;
    if (command.length - this.#progress < DIRECT_BYTES) return undefined;
    const slot = command.payload.slots[Math.floor(this.#progress / MAX_SLOT_BYTES)];
    const from = this.#progress % MAX_SLOT_BYTES;
    return slot?.bytes.subarray(from, Math.min(MAX_SLOT_BYTES, from + command.length - this.#progress));
  }

  /** Whether it keeps memory of `device` for a write whose data has not come on for `ms`. */
  keepsIdle(device: BlockDevice, ms: number): boolean {
    return this.#input === "payload" && this.#device === device && this.#clock.now() - this.#heardAt >= ms;
  }

  /** How many bytes should be staged at once. */
  get stagingHint(): number {
    return this.#hint;
  }

  /** Bytes have come: `direct` into the memory of the request, the others are staged. */
  received(direct: number): void {
    this.#progress += direct;
    this.#hint = direct > 0 ? SHORT_HINT_BYTES : this.#staging.bytes.length;
    this.#run();
  }

  drained(): void {
    this.#unthrottle();
  }

  closed(): void {
    this.#dead = true;
    this.#stopAsking?.();
    this.#wake?.cancel();
    if (this.#input === "payload" && this.#command !== undefined) this.#abandon(this.#command);
    this.#command = undefined;
    this.#input = "ended";
    this.#staging.clear();
  }

  shutdown(): void {
    this.#shuttingDown = true;
    const command = this.#command;
    if (this.#input === "room" && command !== undefined) {
      this.#stopAsking?.();
      this.#refuse(command, ERRNO.ESHUTDOWN);
    } else if (this.#input === "payload" && command !== undefined) {
      this.#abandon(command);
      this.#drainErrno = ERRNO.ESHUTDOWN;
      this.#progress = command.length - this.#progress;
      this.#input = "drain";
    }
    this.#run();
  }

  reply(request: Request, errno: Errno): void {
    assert(request instanceof Command && request.requester === this);
    this.#inFlight--;
    this.#inFlightBytes -= request.dataBytes;
    this.#answer(request, errno);
    if (this.#inBatch || this.#dead) return;
    this.#transport.flush();
    this.#endIfQuiet();
    if (this.#input === "throttled") this.#unthrottleSoon();
  }

  // ── What comes in ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Parses what is staged, as one batch, and receives on if that leaves something to wish for. */
  #run(): void {
    this.#inBatch = true;
    while (this.#step());
    this.#inBatch = false;
    if (this.#submitted) {
      this.#submitted = false;
      // The device may answer from in here; those replies belong to this batch.
      this.#device.kick();
    }
    if (this.#dead) return;
    this.#transport.flush();
    this.#endIfQuiet();
    if (this.#ending) return;
    const blocked = this.#input === "room" || this.#input === "throttled" || this.#input === "ended";
    if (blocked === this.#paused) return;
    this.#paused = blocked;
    if (blocked) this.#transport.pause();
    else this.#transport.resume();
  }

  /** False when it can't go on without more bytes, or room. */
  #step(): boolean {
    switch (this.#input) {
      case "header":
        return this.#readHeader();
      case "payload":
        return this.#readPayload();
      case "drain":
        return this.#drainPayload();
      case "room":
      case "throttled":
      case "ended":
        return false;
    }
  }

  #readHeader(): boolean {
    if (this.#staging.length < REQUEST_BYTES) return false;
    if (this.#atLimit) {
      this.#input = "throttled";
      return false;
    }
    const header = this.#header;
    if (!decodeRequest(this.#staging.view, this.#staging.start, header)) return this.#drop();
    this.#staging.skip(REQUEST_BYTES);
    if (header.type === COMMAND.DISC) {
      this.#input = "ended";
      this.#staging.clear();
      return false;
    }
    const kind = kindOf(header.type);
    const errno = kind === undefined ? ERRNO.EINVAL : checkCommand(kind, header, this.#context);
    const command = this.#take(kind ?? "flush");
    if (this.#shuttingDown) this.#refuse(command, ERRNO.ESHUTDOWN);
    else if (errno !== 0) this.#refuse(command, errno);
    else if (header.length === 0 && kind !== "flush") this.#answer(command, 0);
    else if (kind === "extents" && !this.#context.geometry.extents) this.#answerAllocated(command);
    else this.#admit(command);
    return true;
  }

  #admit(command: Command): void {
    this.#command = command;
    const verdict = this.#device.admit(command);
    if (verdict === "wait") {
      this.#input = "room";
      this.#stopAsking = this.#device.whenRoom(command, () => this.#roomFound());
    } else if (verdict === "admitted") {
      this.#inFlight++;
      this.#inFlightBytes += command.dataBytes;
      this.#progress = 0;
      if (command.kind === "write") this.#input = "payload";
      else this.#submit(command);
    } else {
      this.#refuse(command, verdict);
    }
  }

  #roomFound(): void {
    this.#stopAsking = undefined;
    const command = this.#command;
    if (this.#input !== "room" || command === undefined) return;
    if (this.#transport.hungUp()) {
      this.#drop();
      return;
    }
    this.#inBatch = true;
    this.#admit(command);
    this.#run();
  }

  #readPayload(): boolean {
    const command = this.#command;
    assert(command?.payload !== undefined);
    const staging = this.#staging;
    while (this.#progress < command.length && staging.length > 0) {
      const slot = command.payload.slots[Math.floor(this.#progress / MAX_SLOT_BYTES)];
      assert(slot !== undefined);
      const at = this.#progress % MAX_SLOT_BYTES;
      const count = Math.min(staging.length, command.length - this.#progress, MAX_SLOT_BYTES - at);
      slot.bytes.set(staging.take(count), at);
      this.#progress += count;
    }
    if (this.#progress < command.length) {
      this.#heardAt = this.#clock.now();
      return false;
    }
    this.#submit(command);
    return true;
  }

  #drainPayload(): boolean {
    const count = Math.min(this.#progress, this.#staging.length);
    this.#staging.skip(count);
    this.#progress -= count;
    if (this.#progress > 0) return false;
    const command = this.#command;
    assert(command !== undefined);
    this.#input = "header";
    this.#command = undefined;
    this.#answer(command, this.#drainErrno);
    return true;
  }

  #submit(command: Command): void {
    this.#input = "header";
    this.#command = undefined;
    this.#submitted = true;
    this.#device.submit(command);
  }

  /** Answers a command that is not admitted, a write after its data. */
  #refuse(command: Command, errno: Errno): void {
    if (command.kind !== "write" || command.length === 0) {
      this.#input = "header";
      this.#command = undefined;
      this.#answer(command, errno);
    } else if (command.length > MAX_DRAINED_WRITE_BYTES) {
      this.#drop();
    } else {
      this.#input = "drain";
      this.#command = command;
      this.#progress = command.length;
      this.#drainErrno = errno;
    }
  }

  /** A driver that can't tell what it stores: all of it may be data. */
  #answerAllocated(command: Command): void {
    command.extents = [{ length: command.length, hole: false, zero: false }];
    this.#answer(command, 0);
  }

  #abandon(command: Command): void {
    this.#inFlight--;
    this.#inFlightBytes -= command.dataBytes;
    this.#device.abandon(command);
    command.payload = undefined;
  }

  // ── What goes out ─────────────────────────────────────────────────────────────────────────────────────────────

  #answer(command: Command, errno: Errno): void {
    if (!this.#dead) {
      this.#writer.write(command, errno);
      return;
    }
    command.sends = 1;
    command.sent();
  }

  /** The transport has done with a part of the reply, or the writer with the whole. */
  #sent(command: Command): void {
    if (--command.sends > 0) return;
    if (command.kind === "read" && command.payload !== undefined) this.#device.reads.release(command.payload);
    command.payload = undefined;
    command.extents = undefined;
    if (this.#spare.length < MAX_SPARE_COMMANDS) this.#spare.push(command);
  }

  #take(kind: RequestKind): Command {
    const command = this.#spare.pop() ?? new Command(this, (sent) => this.#sent(sent));
    command.set(kind, this.#header);
    return command;
  }

  // ── Limits and ends ───────────────────────────────────────────────────────────────────────────────────────────

  get #atLimit(): boolean {
    return (
      this.#inFlight >= this.#limits.inFlightRequests ||
      this.#inFlightBytes >= this.#limits.inFlightBytes ||
      this.#transport.queuedBytes > OUTPUT_HIGH_WATER_BYTES
    );
  }

  /** Reads on when half of what was in flight has its replies, from an event of its own. */
  #unthrottleSoon(): void {
    const full =
      this.#inFlight > this.#limits.inFlightRequests >>> 1 || this.#inFlightBytes > this.#limits.inFlightBytes / 2;
    if (full || this.#wake !== undefined) return;
    this.#wake = this.#clock.after(0, () => {
      this.#wake = undefined;
      this.#unthrottle();
    });
  }

  #unthrottle(): void {
    if (this.#input !== "throttled" || this.#atLimit) return;
    if (this.#transport.hungUp()) {
      this.#drop();
      return;
    }
    this.#input = "header";
    this.#run();
  }

  /**
   * Closes at once: the stream is lost, or the client has gone, and what it left unread must not land over what it
   * writes once it has reconnected. What was parsed runs to its end.
   */
  #drop(): false {
    this.#transport.destroy();
    this.closed();
    return false;
  }

  #endIfQuiet(): void {
    const over = this.#input === "ended" || this.#shuttingDown;
    if (!over || this.#inFlight > 0 || this.#ending || this.#dead) return;
    this.#ending = true;
    this.#input = "ended";
    this.#transport.end();
  }
}
