import assert from "node:assert/strict";
import { ERRNO, type Errno } from "../../block/errors.ts";
import { restOfSlot, slotBytes } from "../../block/memory.ts";
import type { Request, Requester } from "../../block/request.ts";
import type { BlockDevice, Clock, Timer } from "../../shadow/ports.ts";
import type { Staging } from "../wire/staging.ts";
import type { Choice } from "./choice.ts";
import { Command } from "./command.ts";
import { MAX_TURN_BYTES, MAX_TURN_REQUESTS, type SessionLimits } from "./limits.ts";
import { ReplyWriter } from "./reply-writer.ts";
import { RequestReader } from "./request-reader.ts";
import { OUTPUT_HIGH_WATER_BYTES, type Transport } from "./transport.ts";

/** With at least this much of a write's data missing, it is received straight into the request's memory. */
const DIRECT_BYTES = 64 << 10;
/** After data received so, the next header is asked for alone, so that the data behind it isn't staged and copied. */
const SHORT_HINT_BYTES = 4 << 10;

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
 *     │  │ └──▶ drain ───▶ header          the payload of what the device isn't asked for
 *     │  └────▶ room ────▶ payload, header the device is at a limit; nothing is parsed or received
 *     └───────▶ throttled ▶ header         this client is at one of its limits, or has had its turn; likewise
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
  readonly #reader: RequestReader;
  readonly #writer: ReplyWriter;

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
  /** Requests taken in this turn, and bytes of their data. */
  #turnRequests = 0;
  #turnBytes = 0;

  constructor(ports: TransmissionPorts) {
    this.#transport = ports.transport;
    this.#clock = ports.clock;
    this.#limits = ports.limits;
    this.#staging = ports.staging;
    this.#hint = ports.staging.bytes.length;
    this.#device = ports.choice.export.device;
    this.#reader = new RequestReader(ports.staging, ports.choice, this);
    this.#writer = new ReplyWriter(ports.transport, ports.choice.replies);
  }

  /** Memory of a request, where its data should be received without a copy; else `undefined`. */
  directBuffer(): Uint8Array | undefined {
    const command = this.#command;
    if (this.#input !== "payload" || command?.payload === undefined) return undefined;
    const missing = command.length - this.#progress;
    if (missing < DIRECT_BYTES) return undefined;
    return slotBytes(command.payload, this.#progress, Math.min(restOfSlot(this.#progress), missing));
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
    if (this.#receiving !== undefined) this.#abandon(this.#receiving);
    this.#command = undefined;
    this.#input = "ended";
    this.#staging.clear();
  }

  /**
   * A write whose data is on its way is refused when it is there. Its memory may be lent to the transport: it is given
   * back then, or when the connection is gone.
   */
  shutdown(): void {
    this.#shuttingDown = true;
    if (this.#input === "room" && this.#command !== undefined) {
      this.#stopAsking?.();
      this.#settle(this.#command, ERRNO.ESHUTDOWN);
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
    this.#turnRequests = 0;
    this.#turnBytes = 0;
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
        return false;
      case "ended":
        // Nobody reads it, and it must not fill the room for more.
        this.#staging.clear();
        return false;
    }
  }

  #readHeader(): boolean {
    if (!this.#reader.ready) return false;
    if (this.#atLimit) {
      this.#input = "throttled";
      return false;
    }
    if (this.#turnRequests === MAX_TURN_REQUESTS || this.#turnBytes >= MAX_TURN_BYTES) {
      this.#input = "throttled";
      this.#unthrottleNextTurn();
      return false;
    }
    this.#turnRequests++;
    const command = this.#reader.read();
    if (command === "more") return false;
    if (command === "lost") return this.#drop();
    if (command === "disconnect") {
      this.#input = "ended";
      return true;
    }
    const verdict = this.#shuttingDown ? ERRNO.ESHUTDOWN : command.verdict;
    if (verdict === undefined) this.#admit(command);
    else this.#settle(command, verdict);
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
      this.#turnBytes += command.dataBytes;
      this.#progress = 0;
      if (command.kind === "write") this.#input = "payload";
      else this.#submit(command);
    } else {
      this.#settle(command, verdict);
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
      const count = Math.min(staging.length, command.length - this.#progress, restOfSlot(this.#progress));
      slotBytes(command.payload, this.#progress, count).set(staging.take(count));
      this.#progress += count;
    }
    if (this.#progress < command.length) {
      this.#heardAt = this.#clock.now();
      return false;
    }
    if (!this.#shuttingDown) {
      this.#submit(command);
      return true;
    }
    this.#input = "header";
    this.#command = undefined;
    this.#abandon(command);
    this.#answer(command, ERRNO.ESHUTDOWN);
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

  /** Answers a command without the device, after its payload. */
  #settle(command: Command, errno: Errno): void {
    if (command.incoming === 0) {
      this.#input = "header";
      this.#command = undefined;
      this.#answer(command, errno);
    } else {
      this.#input = "drain";
      this.#command = command;
      this.#progress = command.incoming;
      this.#drainErrno = errno;
    }
  }

  /** The write whose data is on its way. */
  get #receiving(): Command | undefined {
    return this.#command?.payload === undefined ? undefined : this.#command;
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

  // ── Limits and ends ───────────────────────────────────────────────────────────────────────────────────────────

  get #atLimit(): boolean {
    return (
      this.#inFlight >= this.#limits.inFlightRequests ||
      this.#inFlightBytes >= this.#limits.inFlightBytes ||
      this.#outputIsHigh
    );
  }

  /** Where a client leaves replies waiting, those to come count with them: else it could make us keep all that it asked for. */
  get #outputIsHigh(): boolean {
    const { queuedBytes } = this.#transport;
    return queuedBytes > 0 && queuedBytes + this.#inFlightBytes > OUTPUT_HIGH_WATER_BYTES;
  }

  /** Reads on when half of what was in flight has its replies, from an event of its own. */
  #unthrottleSoon(): void {
    const full =
      this.#inFlight > this.#limits.inFlightRequests >>> 1 || this.#inFlightBytes > this.#limits.inFlightBytes / 2;
    if (!full) this.#unthrottleNextTurn();
  }

  #unthrottleNextTurn(): void {
    this.#wake ??= this.#clock.after(0, () => {
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
    // A write that will be refused is not waited for.
    const unanswered = this.#inFlight - (this.#receiving === undefined ? 0 : 1);
    if (!over || unanswered > 0 || this.#ending || this.#dead) return;
    this.#ending = true;
    this.#input = "ended";
    this.#transport.end();
  }
}
