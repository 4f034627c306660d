import { ERRNO, type Errno } from "../block/errors.ts";
import { type Link, type Operation, SUBMIT_FUA } from "../shadow/ports.ts";
import type { Place } from "./log-writer.ts";
import type { Recording, WriterKind } from "./recording.ts";

interface Submitted {
  readonly operation: Operation;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly address: number;
  /** Of a flush. */
  readonly place: Place | undefined;
}

/** The way to one incarnation, with what that one answers recorded. What it leaves unanswered at its end is not in the log. */
export class RecordedLink implements Link {
  readonly #link: Link;
  readonly #recording: Recording;
  readonly #writes: Uint8Array;
  readonly #submitted = new Map<number, Submitted>();

  /** `writes`: the memory that addresses are in. */
  constructor(link: Link, recording: Recording, writes: Uint8Array) {
    this.#link = link;
    this.#recording = recording;
    this.#writes = writes;
  }

  get epoch(): number {
    return this.#link.epoch;
  }

  get depth(): number {
    return this.#link.depth;
  }

  get maxEffect(): number {
    return this.#link.maxEffect;
  }

  get patience(): number {
    return this.#link.patience;
  }

  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    if (operation !== "read" && operation !== "extents") {
      const place = operation === "flush" ? this.#recording.flushBegun() : undefined;
      this.#submitted.set(tag, { operation, flags, offset, length, address, place });
    }
    this.#link.submit(tag, operation, flags, offset, length, address);
  }

  kick(): void {
    this.#link.kick();
  }

  /** An answer, unchecked: one to nothing that was asked means nothing here either. */
  completed(tag: number, errno: number, count: number): void {
    const submitted = this.#submitted.get(tag);
    if (submitted === undefined) return;
    this.#submitted.delete(tag);
    const { operation, flags, offset, length, address, place } = submitted;
    const recording = this.#recording;
    if (place !== undefined) return recording.flushEnded(place, errno as Errno);
    const kind = operation as WriterKind;
    // Zeroes are written then, and a trim is left alone.
    if (errno === ERRNO.ENOTSUP && kind !== "write") return;
    if (errno !== 0) return recording.failed(kind, errno as Errno, offset, length);
    if (kind === "write" && count !== length) return;
    const data = kind === "write" ? [this.#writes.subarray(address, address + length)] : [];
    recording.done(kind, offset, length, (flags & SUBMIT_FUA) !== 0, data);
  }
}
