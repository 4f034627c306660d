import assert from "node:assert/strict";
import type { Errno } from "../../block/errors.ts";
import { MAX_PAYLOAD_BYTES } from "../../block/memory.ts";
import type { Request } from "../../block/request.ts";
import { ManualClock } from "../../shadow/testing.ts";
import type { SessionLimits } from "../server/limits.ts";
import { Session } from "../server/session.ts";
import { FakeDevice, FakeTransport, feed, oneExport } from "../server/testing.ts";
import { OUTPUT_HIGH_WATER_BYTES } from "../server/transport.ts";
import { type Judged, judge } from "./judge.ts";

/**
 * Bytes of the disk that is fuzzed: small, so that random requests overlap, and end behind its end; large enough for a read
 * of data and holes.
 */
export const DISK_BYTES = 192 << 10;
/** What the handshake may queue, at the most: replies to all its options. */
const HANDSHAKE_OUTPUT_BYTES = 256 << 10;
/** Long sessions come in larger pieces, lest a single one takes all the time. */
const MAX_PIECES = 5000;
/** More turns than any session needs; one that takes more has stopped getting on. */
const MAX_TURNS = 2 * MAX_PIECES;

/** How the world around a session behaves. */
export interface Surroundings {
  /** How many bytes come at once, one piece after the other; the last of these lengths is that of all others. */
  readonly pieces: readonly number[];
  /** Requests that the device admits at once. */
  readonly depth: number;
  /** Whether the device answers at once, or when and in the order that the choices say. */
  readonly prompt: boolean;
  /** Whether the client's socket takes replies at once, or when the choices say. */
  readonly reads: boolean;
  readonly tls: "off" | "on" | "required";
  readonly limits: Pick<SessionLimits, "inFlightRequests" | "inFlightBytes">;
  /** What is decided by chance, one after the other and round about. One at least, from 0 to 255. */
  readonly choices: readonly number[];
  /** The turn at which the session is told to shut down, and that at which the connection dies. */
  readonly shutdownAt?: number | undefined;
  readonly deathAt?: number | undefined;
}

/** A device that knows who waits for room, and fails as the choices say. */
class FuzzedDevice extends FakeDevice {
  waiting = 0;
  mostAdmitted = 0;
  mostAdmittedBytes = 0;
  #admittedBytes = 0;

  override admit(request: Request): "admitted" | "wait" | Errno {
    const verdict = super.admit(request);
    if (verdict === "admitted") {
      this.#admittedBytes += bytesOf(request);
      this.mostAdmitted = Math.max(this.mostAdmitted, this.admitted);
      this.mostAdmittedBytes = Math.max(this.mostAdmittedBytes, this.#admittedBytes);
    }
    return verdict;
  }

  override whenRoom(request: Request, callback: () => void): () => void {
    this.waiting++;
    let over = false;
    const end = (): void => {
      if (!over) this.waiting--;
      over = true;
    };
    const stop = super.whenRoom(request, () => {
      end();
      callback();
    });
    return () => {
      end();
      stop();
    };
  }

  override abandon(request: Request): void {
    this.#admittedBytes -= bytesOf(request);
    super.abandon(request);
  }

  override answer(request: Request): void {
    this.#admittedBytes -= bytesOf(request);
    super.answer(request);
  }
}

function bytesOf({ kind, length }: Request): number {
  return kind === "read" || kind === "write" ? length : 0;
}

/** What a session said, and whether it has closed the connection. */
export interface Outcome {
  readonly received: Buffer;
  readonly open: boolean;
}

/**
 * Sends `sent` to a server in such surroundings, and holds of it: it never throws; what it says is what a strict reader
 * accepts; what came in whole has its one reply, unless the connection is closed; it keeps to its bounds all the time; and
 * once it is closed nothing is left of it. Throws where any of that is broken.
 */
export function converse(sent: Buffer, around: Surroundings): Outcome & { readonly judged: Judged } {
  const world = new World(around);
  world.run(sent);
  const { received, open } = world.outcome;
  const judged = judge(sent, received, open);
  if (open && judged.certain && around.shutdownAt === undefined)
    assert.equal(judged.answered, judged.requests.length, "every command that came in whole has its reply");
  world.end();
  return { received, open, judged };
}

class World {
  readonly #around: Surroundings;
  readonly #device = new FuzzedDevice({ size: DISK_BYTES });
  readonly #transport = new FakeTransport();
  readonly #clock = new ManualClock();
  readonly #session: Session;
  readonly #received: Buffer[] = [];
  #chosen = 0;
  #pieces = 0;
  #died = false;

  constructor(around: Surroundings) {
    this.#around = around;
    const device = this.#device;
    device.depth = around.depth;
    device.held = !around.prompt;
    this.#session = new Session({
      transport: this.#transport,
      exports: oneExport(device),
      clock: this.#clock,
      tls: around.tls,
      limits: around.limits,
    });
  }

  get outcome(): Outcome {
    return { received: Buffer.concat(this.#received), open: this.#transport.state === "open" && !this.#died };
  }

  run(sent: Buffer): void {
    const { shutdownAt, deathAt } = this.#around;
    const transport = this.#transport;
    const shortest = Math.ceil(sent.length / MAX_PIECES);
    let at = 0;
    for (let turn = 0; transport.state === "open" && (at < sent.length || this.#isBusy); turn++) {
      assert(turn < MAX_TURNS, "the session has stopped getting on");
      if (turn === shutdownAt) this.#session.shutdown();
      transport.stuck = !this.#around.reads && !transport.paused && at < sent.length && this.#choose(4) > 0;
      // One piece a turn, so that everything else may happen between any two of them.
      if (at < sent.length)
        at += feed(this.#session, transport, sent.subarray(at, at + Math.max(shortest, this.#nextPiece())));
      if (turn === deathAt) {
        this.#died = true;
        break;
      }
      this.#turn();
    }
    if (this.#died) this.#received.push(transport.take());
    else this.#collect();
  }

  /** The connection goes; what was parsed runs to its end. Nothing may be left of it. */
  end(): void {
    const device = this.#device;
    this.#transport.destroy();
    this.#session.closed();
    device.answerAll();
    assert.equal(device.waiting, 0, "it still waits for room");
    assert.equal(device.admitted, 0, "requests are neither answered nor abandoned");
    assert.equal(device.reads.usedBytes + device.writes.usedBytes, 0, "memory is not given back");
    assert.equal(this.#clock.timers, 0, "a timer still runs");
  }

  get #isBusy(): boolean {
    return this.#device.pending.length > 0 || this.#transport.paused || this.#transport.queuedBytes > 0;
  }

  /** The rest of the world goes on a bit. */
  #turn(): void {
    const [device, transport] = [this.#device, this.#transport];
    if (!this.#around.prompt && device.pending.length > 0) {
      const [request] = device.pending.splice(this.#choose(device.pending.length), 1);
      device.errno = this.#choose(16) === 0 ? 5 : 0;
      if (request !== undefined) device.answer(request);
    }
    device.makeRoom();
    this.#clock.advance(0);
    this.#checkBounds();
    if (!transport.stuck) this.#collect();
  }

  /** The client's socket takes what is queued. */
  #collect(): void {
    const [transport, session] = [this.#transport, this.#session];
    const wasHigh = transport.queuedBytes > OUTPUT_HIGH_WATER_BYTES;
    transport.stuck = false;
    if (transport.state === "open") transport.flush();
    this.#received.push(transport.take());
    if (wasHigh) session.drained();
  }

  #checkBounds(): void {
    const { inFlightRequests, inFlightBytes } = this.#around.limits;
    const { mostAdmitted, mostAdmittedBytes } = this.#device;
    assert(mostAdmitted <= Math.min(inFlightRequests, this.#around.depth), "more requests in flight than allowed");
    // The last one that is let in may go over the limit by its own length.
    assert(mostAdmittedBytes < inFlightBytes + MAX_PAYLOAD_BYTES, "more data in flight than allowed");
    const most = OUTPUT_HIGH_WATER_BYTES + inFlightBytes + DISK_BYTES + HANDSHAKE_OUTPUT_BYTES;
    assert(this.#transport.queuedBytes <= most, `${this.#transport.queuedBytes} bytes are queued, ${most} at the most`);
  }

  #nextPiece(): number {
    const { pieces } = this.#around;
    return pieces[Math.min(this.#pieces++, pieces.length - 1)] ?? 1;
  }

  #choose(bound: number): number {
    const { choices } = this.#around;
    return (choices[this.#chosen++ % choices.length] ?? 0) % bound;
  }
}
