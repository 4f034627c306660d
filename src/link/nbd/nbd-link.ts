import { ERRNO, type Errno, isErrno } from "../../block/errors.ts";
import { encodeExtents } from "../../block/extents.ts";
import type { ClientTransmission } from "../../nbd/client/transmission.ts";
import { COMMAND, COMMAND_FLAG } from "../../nbd/wire/protocol.ts";
import {
  EXTENTS_SLOT_BYTES,
  type IncarnationEvents,
  type Link,
  type Operation,
  SUBMIT_FAST,
  SUBMIT_FUA,
  SUBMIT_MAY_TRIM,
} from "../../shadow/ports.ts";
import type { Arenas } from "../shared-arenas.ts";
import { Spin } from "../spin.ts";
import { Views } from "../views.ts";
import { blockExtents } from "./block-extents.ts";
import { Part, type Split } from "./part.ts";
import type { ServerFeatures } from "./server-features.ts";

/** Submissions that may be outstanding. */
const DEPTH = 256;
/** With more submissions out, their replies come in batches that are worth a wake. */
const SPIN_DEPTH = 16;

/** What a link does beside its submissions: the rest is the incarnation's. */
export interface NbdLinkOptions {
  readonly epoch: number;
  readonly blockSize: number;
  readonly features: ServerFeatures;
  /** See {@link Link.patience}. */
  readonly patience: number;
  readonly memory: Arenas;
  readonly events: IncarnationEvents;
}

/**
 * The link to an NBD server: submissions become requests on one of its connections, replies become completions. Data
 * goes from the arena of writes to the socket, and from the socket to the arena of reads.
 */
export class NbdLink implements Link {
  readonly epoch: number;
  readonly depth = DEPTH;
  readonly maxEffect: number;
  readonly patience: number;
  readonly #options: NbdLinkOptions;
  readonly #writes: Views;
  readonly #reads: Views;
  readonly #spare: Part[] = [];
  /** Keeps the event loop looking at the sockets for a moment, where a reply is expected soon. */
  readonly #spin: Spin;
  #outstanding = 0;
  /** Replies since the last look. */
  #arrived = 0;
  #connections: readonly ClientTransmission<Part>[] = [];
  /** Submissions that are answered without the server, once the core has had its turn. */
  #refused: number[] = [];
  #over = false;

  constructor(options: NbdLinkOptions) {
    this.epoch = options.epoch;
    this.maxEffect = options.features.maxEffect;
    this.patience = options.patience;
    this.#options = options;
    this.#writes = new Views(options.memory.writes.memory);
    this.#reads = new Views(options.memory.reads.memory);
    this.#spin = new Spin(
      () => this.#look(),
      () => true,
    );
  }

  /** Begins with at least one connection; several, if the server says that a flush on one covers them all. */
  use(connections: readonly ClientTransmission<Part>[]): void {
    this.#connections = connections;
  }

  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    if (this.#over) return;
    switch (operation) {
      case "read":
        return this.#split(COMMAND.READ, 0, tag, operation, offset, length, address);
      case "write":
        return this.#split(COMMAND.WRITE, fuaFlag(flags), tag, operation, offset, length, address);
      case "trim":
        return this.#request(this.#part(COMMAND.TRIM, 0, tag, operation, offset, length, address));
      case "zero":
        if ((flags & SUBMIT_FAST) !== 0 && !this.#options.features.fastZero) return this.#refuse(tag);
        return this.#request(
          this.#part(COMMAND.WRITE_ZEROES, zeroFlags(flags), tag, operation, offset, length, address),
        );
      case "flush":
        return this.#request(this.#part(COMMAND.FLUSH, 0, tag, operation, 0, 0, address));
      case "extents": {
        // Where the server takes no such length, the rest is left open: an answer may end early.
        const asked = Math.min(length, this.maxEffect);
        const part = this.#part(COMMAND.BLOCK_STATUS, 0, tag, operation, offset, asked, address);
        part.extents = [];
        return this.#request(part);
      }
    }
  }

  kick(): void {
    for (const connection of this.#connections) connection.send();
    this.#stayAwake();
  }

  /** A reply has come. `error`: 0, or the number that the server answered. */
  settled(part: Part, error: number): void {
    if (this.#over) return;
    if (error === ERRNO.ESHUTDOWN) {
      // It would refuse all the others, too. What it leaves undone is for the next incarnation.
      this.end();
      this.#options.events.fault(this.epoch, "disconnected", "the NBD server is shutting down");
      return;
    }
    this.#outstanding--;
    this.#arrived++;
    this.#answered(part, isErrno(error) ? error : ERRNO.EIO);
  }

  /** The replies that came together are all told. */
  batchSettled(): void {
    if (this.#over) return;
    this.#options.events.settled(this.epoch);
    this.#stayAwake();
  }

  /** Nothing is sent or heard any more. */
  end(): void {
    this.#over = true;
    this.#spin.stop();
  }

  #split(
    type: number,
    flags: number,
    tag: number,
    operation: "read" | "write",
    offset: number,
    length: number,
    address: number,
  ): void {
    const most = this.#options.features.maxPayload;
    const split: Split | undefined = length <= most ? undefined : { left: Math.ceil(length / most), errno: 0, length };
    for (let at = 0; at < length; at += most) {
      const count = Math.min(most, length - at);
      const part = this.#part(type, flags, tag, operation, offset + at, count, address);
      if (operation === "read") part.into = this.#reads.at(address + at, count);
      else part.data = this.#writes.at(address + at, count);
      part.split = split;
      this.#request(part);
    }
  }

  #part(
    type: number,
    flags: number,
    tag: number,
    operation: Operation,
    offset: number,
    length: number,
    address: number,
  ): Part {
    const part = this.#spare.pop() ?? new Part();
    part.set(type, flags, offset, length);
    part.tag = tag;
    part.operation = operation;
    part.address = address;
    part.split = undefined;
    return part;
  }

  /** On the connection with the fewest requests; with little to do, always on the first. */
  #request(part: Part): void {
    let chosen = this.#connections[0];
    for (const connection of this.#connections) {
      if (chosen === undefined || connection.outstanding < chosen.outstanding) chosen = connection;
    }
    // A connection that is lost is told to the incarnation, which ends.
    if (chosen?.alive !== true) return;
    this.#outstanding++;
    chosen.request(part);
  }

  /** The replies themselves come from the sockets, which the event loop looks at between two turns. */
  #look(): number {
    const arrived = this.#arrived;
    this.#arrived = 0;
    return arrived;
  }

  #stayAwake(): void {
    if (!this.#over) this.#spin.active(this.#outstanding > 0 && this.#outstanding <= SPIN_DEPTH);
  }

  #refuse(tag: number): void {
    if (this.#refused.length === 0) queueMicrotask(() => this.#tellRefused());
    this.#refused.push(tag);
  }

  #tellRefused(): void {
    const tags = this.#refused;
    this.#refused = [];
    for (const tag of tags) if (!this.#over) this.#options.events.completed(this.epoch, tag, ERRNO.ENOTSUP, 0);
    if (!this.#over) this.#options.events.settled(this.epoch);
  }

  #answered(part: Part, errno: Errno): void {
    const { tag, operation, split } = part;
    const described = operation === "extents" && errno === 0 ? this.#answerExtents(part) : 0;
    let { length } = part;
    let outcome = errno;
    this.#spare.push(part);
    if (split !== undefined) {
      if (split.errno === 0) split.errno = errno;
      if (--split.left > 0) return;
      outcome = split.errno;
      length = split.length;
    }
    const count = operation === "read" || operation === "write" ? length : described;
    this.#options.events.completed(this.epoch, tag, outcome, outcome === 0 ? count : 0);
  }

  #answerExtents({ extents, length, address }: Part): number {
    const runs = blockExtents(extents ?? [], this.#options.blockSize);
    return encodeExtents(runs, length, this.#reads.at(address, EXTENTS_SLOT_BYTES));
  }
}

function fuaFlag(flags: number): number {
  return (flags & SUBMIT_FUA) === 0 ? 0 : COMMAND_FLAG.FUA;
}

function zeroFlags(flags: number): number {
  const noHole = (flags & SUBMIT_MAY_TRIM) === 0 ? COMMAND_FLAG.NO_HOLE : 0;
  return noHole | ((flags & SUBMIT_FAST) === 0 ? 0 : COMMAND_FLAG.FAST_ZERO);
}
