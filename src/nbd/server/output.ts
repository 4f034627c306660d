import { MAX_SLOT_BYTES, type Payload } from "../../block/memory.ts";

/** Payloads from this size on are written by reference; smaller ones are copied, which is cheaper than one more part. */
const REFERENCE_BYTES = 32 << 10;
const MIN_GATHER_BYTES = 64 << 10;
const MAX_GATHER_BYTES = 512 << 10;

/** Bytes to write, in one piece. */
interface Segment {
  bytes: Buffer;
  /** The payload they lie in; `undefined` for copied bytes. */
  part: Part | undefined;
}

/** What was queued of a payload: segments, one a slot, that aren't written yet. */
interface Part {
  readonly payload: Payload;
  segments: number;
  readonly done: () => void;
}

/**
 * The bytes on their way to a socket. Small ones are gathered, so that a batch of replies is one system call:
 *
 *   | header | 4 KiB | header | 4 KiB | … | header |──▶ slot ──▶ slot | header | …
 *   `────────────── gathered: one segment ─────────┘    by reference    gathered
 */
export class OutputQueue {
  #segments: Segment[] = [];
  #gather = Buffer.allocUnsafeSlow(MIN_GATHER_BYTES);
  /** Of the gather buffer: where the gathered bytes without a segment begin and end. */
  #cut = 0;
  #used = 0;
  #round: Segment[] = [];
  #pinnedBytes = 0;
  #queuedBytes = 0;

  /** Bytes that are queued, those of the round included. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Queues a copy. */
  copy(bytes: Uint8Array): void {
    this.#makeRoom(bytes.length);
    this.#gather.set(bytes, this.#used);
    this.#used += bytes.length;
    this.#queuedBytes += bytes.length;
  }

  /** Queues a part of a payload; `done` once it isn't needed any more, at once where it is small. */
  reference(payload: Payload, start: number, length: number, done: () => void): void {
    const part = { payload, segments: 1, done };
    const small = length < REFERENCE_BYTES;
    if (!small) this.#seal();
    for (let at = start; at < start + length; ) {
      const slot = payload.slots[Math.floor(at / MAX_SLOT_BYTES)];
      if (slot === undefined) throw new RangeError("the range is outside of its payload");
      const from = at % MAX_SLOT_BYTES;
      const count = Math.min(start + length - at, MAX_SLOT_BYTES - from);
      if (small) {
        this.copy(slot.bytes.subarray(from, from + count));
      } else {
        part.segments++;
        this.#segments.push({ bytes: bufferOf(slot.bytes, from, count), part });
        this.#queuedBytes += count;
      }
      at += count;
    }
    finish(part);
  }

  /**
   * The next segments to write, until `written` in the hands of the socket: `roundBytes`, and at most as much again by the last of
   * them. Empty when there is nothing. Where they would pin payloads of more than `pinLimit` bytes of slots, they are copied.
   */
  nextRound(pinLimit: number, roundBytes: number): readonly { readonly bytes: Buffer }[] {
    this.#seal();
    let bytes = 0;
    let count = 0;
    let pinned = 0;
    let last: Payload | undefined;
    while (count < this.#segments.length && bytes < roundBytes) {
      const segment = this.#segments[count] as Segment;
      if (segment.bytes.length > roundBytes) this.#segments.splice(count + 1, 0, splitOff(segment, roundBytes));
      count++;
      bytes += segment.bytes.length;
      const payload = segment.part?.payload;
      // Its memory comes back as a whole: the last bytes of a large one keep all of it.
      if (payload !== undefined && payload !== last) pinned += slotBytesOf(payload);
      last = payload;
    }
    if (pinned > pinLimit) {
      for (let index = 0; index < count; index++) unpinSegment(this.#segments[index] as Segment);
      pinned = 0;
    }
    this.#pinnedBytes = pinned;
    this.#round = count === this.#segments.length ? this.#segments : this.#segments.slice(0, count);
    this.#segments = count === this.#segments.length ? [] : this.#segments.slice(count);
    return this.#round;
  }

  /** Bytes of the slots of all payloads that the round pins: nobody can take them from the socket before it has written them. */
  get pinnedBytes(): number {
    return this.#pinnedBytes;
  }

  /** The kernel has taken the round. */
  written(): void {
    const round = this.#round;
    this.#round = [];
    this.#pinnedBytes = 0;
    for (const { bytes } of round) this.#queuedBytes -= bytes.length;
    if (this.#queuedBytes === 0) {
      this.#cut = 0;
      this.#used = 0;
    }
    for (const { part } of round) if (part !== undefined) finish(part);
  }

  /** Copies what is referred to and not in the hands of the socket, so that its payloads are free. */
  unpin(): void {
    for (const segment of this.#segments) unpinSegment(segment);
  }

  /** Drops everything: the socket is closed. */
  clear(): void {
    const dropped = [...this.#round, ...this.#segments];
    this.#round = [];
    this.#segments = [];
    this.#pinnedBytes = 0;
    this.#queuedBytes = 0;
    this.#cut = 0;
    this.#used = 0;
    for (const { part } of dropped) if (part !== undefined) finish(part);
  }

  #seal(): void {
    if (this.#cut === this.#used) return;
    this.#segments.push({ bytes: this.#gather.subarray(this.#cut, this.#used), part: undefined });
    this.#cut = this.#used;
  }

  /** A full gather buffer is left to its segments, and to the collector after them; the next one is larger. */
  #makeRoom(length: number): void {
    if (this.#used + length <= this.#gather.length) return;
    this.#seal();
    const size = Math.max(length, Math.min(MAX_GATHER_BYTES, this.#gather.length * 2));
    this.#gather = Buffer.allocUnsafeSlow(size);
    this.#cut = 0;
    this.#used = 0;
  }
}

function unpinSegment(segment: Segment): void {
  const { part } = segment;
  if (part === undefined) return;
  segment.bytes = Buffer.from(segment.bytes);
  segment.part = undefined;
  finish(part);
}

/** Leaves `length` bytes of a segment. The rest of it. */
function splitOff(segment: Segment, length: number): Segment {
  const rest = { ...segment, bytes: segment.bytes.subarray(length) };
  segment.bytes = segment.bytes.subarray(0, length);
  if (segment.part !== undefined) segment.part.segments++;
  return rest;
}

function slotBytesOf({ slots }: Payload): number {
  return slots.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

function finish(part: Part): void {
  if (--part.segments === 0) part.done();
}

function bufferOf(bytes: Uint8Array, start: number, length: number): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, length);
}
