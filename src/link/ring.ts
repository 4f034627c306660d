import assert from "node:assert/strict";
import type { Operation } from "../shadow/ports.ts";
import { PULSE_AT, PULSE_BYTES } from "./pulse.ts";

/*
 * Two files of shared memory, each written by one side and read-only for the other:
 *
 *   written by the front                           written by the driver host
 *   0    tail: submissions so far, mod 2^32        0    tail: completions so far, mod 2^32
 *   64   nap: odd while the front sleeps           64   nap: odd while the host sleeps
 *   128  pulse: see pulse.ts                       128  pulse
 *   192  submissions, `depth` entries              192  completions, `depth` entries
 *
 *   a submission, 32 bytes                         a completion, 16 bytes
 *   0     4           8        16       24         0     4       8
 *   | tag | operation | offset | length | address  | tag | errno | count
 *   | u32 | u32       | f64    | f64    | f64      | u32 | u32   | f64
 *
 * operation: its index in OPERATIONS, flags from bit 8 on. Entry n is at n % depth.
 *
 * There are no heads: the front never has more than `depth` submissions whose completion it has not consumed, so
 * neither ring can overflow. Each side keeps both positions privately and believes the other's tail only as far as it
 * can be true. A nap is numbered, so that it is ended by one ring of the doorbell: whoever naps has looked once more
 * after saying so, and whoever writes a tail looks at the nap after it, thus one of them sees the other.
 */
const TAIL = 0;
const NAP = 16;
const ENTRIES_AT = PULSE_AT + PULSE_BYTES;
const SUBMISSION_BYTES = 32;
const COMPLETION_BYTES = 16;
const FLAGS_SHIFT = 8;

const OPERATIONS: readonly Operation[] = ["read", "write", "zero", "trim", "flush", "extents"];
const CODES: Readonly<Record<Operation, number>> = { read: 0, write: 1, zero: 2, trim: 3, flush: 4, extents: 5 };

/** Submissions that may be outstanding. A power of two. */
export const RING_DEPTH = 256;

/** Bytes of the two files. */
export function ringBytes(depth: number): { front: number; host: number } {
  return { front: ENTRIES_AT + SUBMISSION_BYTES * depth, host: ENTRIES_AT + COMPLETION_BYTES * depth };
}

/** One side's nap, and its look at the other's. */
class Naps {
  readonly #own: Int32Array;
  readonly #peer: Int32Array;
  #nap = 0;
  /** The other side's nap that was ended last. */
  #ended = 0;
  /** Naps taken. */
  count = 0;

  constructor(own: Int32Array, peer: Int32Array) {
    this.#own = own;
    this.#peer = peer;
  }

  /** Says that this side sleeps from now on; it has to look once more whether there is anything to do. */
  begin(): void {
    if ((this.#nap & 1) === 1) return;
    this.count++;
    this.#say();
  }

  end(): void {
    if ((this.#nap & 1) === 1) this.#say();
  }

  /** Whether the other side sleeps and nobody has rung yet. Whoever is told so rings. */
  peerToWake(): boolean {
    const nap = Atomics.load(this.#peer, NAP);
    if ((nap & 1) === 0 || nap === this.#ended) return false;
    this.#ended = nap;
    return true;
  }

  #say(): void {
    this.#nap = (this.#nap + 1) | 0;
    Atomics.store(this.#own, NAP, this.#nap);
  }
}

/** The front's side. What it reads was written by a driver host and is not believed. */
export class FrontRing {
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;
  readonly #own: Int32Array;
  readonly #peer: Int32Array;
  readonly #peerWords: Uint32Array;
  readonly #peerFloats: Float64Array;
  readonly #naps: Naps;
  readonly #mask: number;
  readonly depth: number;
  /** Entries written; the host may see those before `#published`. */
  #written: number;
  #published: number;
  #consumed: number;

  /** The completion that `next` took. */
  tag = 0;
  errno = 0;
  count = 0;

  /** `own`: what the front writes; `peer`: what the host writes; `start`: the position where both sides begin. */
  constructor(own: ArrayBuffer, peer: ArrayBuffer, depth: number, start = 0) {
    assert(depth > 0 && (depth & (depth - 1)) === 0, "the depth of a ring is a power of two");
    this.depth = depth;
    this.#mask = depth - 1;
    this.#own = new Int32Array(own, 0, ENTRIES_AT / 4);
    this.#words = new Uint32Array(own, ENTRIES_AT, (SUBMISSION_BYTES / 4) * depth);
    this.#floats = new Float64Array(own, ENTRIES_AT, (SUBMISSION_BYTES / 8) * depth);
    this.#peer = new Int32Array(peer, 0, ENTRIES_AT / 4);
    this.#peerWords = new Uint32Array(peer, ENTRIES_AT, (COMPLETION_BYTES / 4) * depth);
    this.#peerFloats = new Float64Array(peer, ENTRIES_AT, (COMPLETION_BYTES / 8) * depth);
    this.#naps = new Naps(this.#own, this.#peer);
    this.#written = this.#published = this.#consumed = start;
    Atomics.store(this.#own, TAIL, start);
  }

  /** Submissions whose completion has not been consumed. */
  get outstanding(): number {
    return (this.#written - this.#consumed) >>> 0;
  }

  /** How often the front went to sleep, and so how often the doorbell may have rung. */
  get naps(): number {
    return this.#naps.count;
  }

  /** Writes a submission. The host may not see it before `publish`. */
  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    assert(this.outstanding < this.depth, "more submissions than the ring is deep");
    const entry = this.#written & this.#mask;
    const word = entry * (SUBMISSION_BYTES / 4);
    const float = entry * (SUBMISSION_BYTES / 8);
    this.#words[word] = tag;
    this.#words[word + 1] = CODES[operation] | (flags << FLAGS_SHIFT);
    this.#floats[float + 1] = offset;
    this.#floats[float + 2] = length;
    this.#floats[float + 3] = address;
    this.#written = (this.#written + 1) | 0;
  }

  /** Shows the host what was submitted. True: the host sleeps, ring its doorbell. */
  publish(): boolean {
    if (this.#written === this.#published) return false;
    this.#published = this.#written;
    Atomics.store(this.#own, TAIL, this.#written);
    return this.#naps.peerToWake();
  }

  /** How many completions there are to take. Undefined: the host's position can't be true. */
  arrived(): number | undefined {
    const count = (Atomics.load(this.#peer, TAIL) - this.#consumed) >>> 0;
    return count <= (this.#published - this.#consumed) >>> 0 ? count : undefined;
  }

  /** Takes one of the completions that have arrived: each field is read once, into `tag`, `errno` and `count`. */
  next(): void {
    const entry = this.#consumed & this.#mask;
    this.tag = this.#peerWords[entry * (COMPLETION_BYTES / 4)] as number;
    this.errno = this.#peerWords[entry * (COMPLETION_BYTES / 4) + 1] as number;
    this.count = this.#peerFloats[entry * (COMPLETION_BYTES / 8) + 1] as number;
    this.#consumed = (this.#consumed + 1) | 0;
  }

  /** Says that the front sleeps. False: something has arrived meanwhile (or broke a rule), don't. */
  sleep(): boolean {
    this.#naps.begin();
    if (this.arrived() === 0) return true;
    this.#naps.end();
    return false;
  }

  wake(): void {
    this.#naps.end();
  }
}

/** The host's side. It believes the front. */
export class HostRing {
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;
  readonly #own: Int32Array;
  readonly #peer: Int32Array;
  readonly #peerWords: Uint32Array;
  readonly #peerFloats: Float64Array;
  readonly #naps: Naps;
  readonly #mask: number;
  #taken: number;
  #completed: number;
  #published: number;

  /** The submission that `next` took. */
  tag = 0;
  operation: Operation = "flush";
  flags = 0;
  offset = 0;
  length = 0;
  address = 0;

  /** `own`: what the host writes; `peer`: what the front writes; `start`: the position where both sides begin. */
  constructor(own: ArrayBuffer, peer: ArrayBuffer, depth: number, start = 0) {
    this.#mask = depth - 1;
    this.#own = new Int32Array(own, 0, ENTRIES_AT / 4);
    this.#words = new Uint32Array(own, ENTRIES_AT, (COMPLETION_BYTES / 4) * depth);
    this.#floats = new Float64Array(own, ENTRIES_AT, (COMPLETION_BYTES / 8) * depth);
    this.#peer = new Int32Array(peer, 0, ENTRIES_AT / 4);
    this.#peerWords = new Uint32Array(peer, ENTRIES_AT, (SUBMISSION_BYTES / 4) * depth);
    this.#peerFloats = new Float64Array(peer, ENTRIES_AT, (SUBMISSION_BYTES / 8) * depth);
    this.#naps = new Naps(this.#own, this.#peer);
    this.#taken = this.#completed = this.#published = start;
    Atomics.store(this.#own, TAIL, start);
  }

  /** How many submissions there are to take. */
  arrived(): number {
    return (Atomics.load(this.#peer, TAIL) - this.#taken) >>> 0;
  }

  /** Takes one of the submissions that have arrived, into the fields above. */
  next(): void {
    const entry = this.#taken & this.#mask;
    const word = entry * (SUBMISSION_BYTES / 4);
    const float = entry * (SUBMISSION_BYTES / 8);
    const code = this.#peerWords[word + 1] as number;
    this.tag = this.#peerWords[word] as number;
    this.operation = OPERATIONS[code & ((1 << FLAGS_SHIFT) - 1)] as Operation;
    this.flags = code >>> FLAGS_SHIFT;
    this.offset = this.#peerFloats[float + 1] as number;
    this.length = this.#peerFloats[float + 2] as number;
    this.address = this.#peerFloats[float + 3] as number;
    this.#taken = (this.#taken + 1) | 0;
  }

  /** Writes a completion. The front may not see it before `publish`. */
  complete(tag: number, errno: number, count: number): void {
    const entry = this.#completed & this.#mask;
    this.#words[entry * (COMPLETION_BYTES / 4)] = tag;
    this.#words[entry * (COMPLETION_BYTES / 4) + 1] = errno;
    this.#floats[entry * (COMPLETION_BYTES / 8) + 1] = count;
    this.#completed = (this.#completed + 1) | 0;
  }

  /** Shows the front what was completed. True: the front sleeps, ring its doorbell. */
  publish(): boolean {
    if (this.#completed === this.#published) return false;
    this.#published = this.#completed;
    Atomics.store(this.#own, TAIL, this.#completed);
    return this.#naps.peerToWake();
  }

  /** Says that the host sleeps. False: something has arrived meanwhile, don't. */
  sleep(): boolean {
    this.#naps.begin();
    if (this.arrived() === 0) return true;
    this.#naps.end();
    return false;
  }

  wake(): void {
    this.#naps.end();
  }
}
