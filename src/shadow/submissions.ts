import { strict as assert } from "node:assert";
import { isErrno } from "../block/errors.ts";
import { decodeExtents, EXTENT_BYTES } from "../block/extents.ts";
import type { FaultKind } from "../block/fault.ts";
import type { Geometry } from "../block/geometry.ts";
import { MAX_SLOT_BYTES, type Payload, restOfSlot, slotBytes } from "../block/memory.ts";
import type { Operation } from "./operation.ts";
import {
  EXTENTS_SLOT_BYTES,
  type Operation as Kind,
  type Link,
  SUBMIT_FAST,
  SUBMIT_FUA,
  SUBMIT_MAY_TRIM,
} from "./ports.ts";
import { Tags } from "./tags.ts";
import type { InFlight } from "./watch.ts";

/** What is wrong with a completion: a fault of the driver (P5). */
export type CompletionFault = Extract<
  FaultKind,
  "unknown-tag" | "unknown-error" | "wrong-length" | "malformed-extents"
>;

/** What is with one incarnation: operations go out in parts of a slot at most, and their completions are checked. */
export class Submissions implements InFlight {
  now: number;
  completed = 0;
  lastChance = false;
  readonly #link: Link;
  readonly #geometry: Geometry;
  /** Address of MAX_SLOT_BYTES of zeroes in the arena of writes. */
  readonly #zeroes: number;
  readonly #tags: Tags;
  readonly #slowest = new Map<Kind, number>();
  #unkicked = false;

  /** `geometry`: what this incarnation can. `now`: the judge's time. */
  constructor(link: Link, geometry: Geometry, zeroes: number, now: number) {
    assert(Number.isInteger(Math.log2(link.depth)), `the depth of a link is a power of two, not ${link.depth}`);
    this.#link = link;
    this.now = now;
    this.#geometry = geometry;
    this.#zeroes = zeroes;
    this.#tags = new Tags(link.depth);
  }

  get epoch(): number {
    return this.#link.epoch;
  }

  get depth(): number {
    return this.#tags.depth;
  }

  get outstanding(): number {
    return this.#tags.outstanding;
  }

  get patience(): number {
    return this.#link.patience;
  }

  each(visit: (kind: Kind, since: number) => void): void {
    this.#tags.each((_, kind, since) => visit(kind, since));
  }

  /** Those of which a part is with the driver. `isSuspected`: whether that part speaks against it. */
  inFlight(isSuspected: (kind: Kind, since: number) => boolean): Set<Operation> {
    const found = new Set<Operation>();
    this.#tags.each((operation, kind, since) => {
      if (isSuspected(kind, since)) found.add(operation);
    });
    return found;
  }

  takeSlowest(kind: Kind): number | undefined {
    const slowest = this.#slowest.get(kind);
    this.#slowest.delete(kind);
    return slowest;
  }

  /** Whether `count` more can be submitted. */
  hasRoomFor(count: number): boolean {
    return this.#tags.outstanding + count <= this.#tags.depth;
  }

  /** Whether a writer is durable once it has completed, without a flush. */
  makesDurable(writer: Operation): boolean {
    return this.#geometry.fua && writer.request?.fua === true && (writer.kind === "write" || writer.writesZeroes);
  }

  /** Submits the next part of an operation that the driver has to execute. There must be a free tag. */
  issue(operation: Operation): void {
    switch (operation.kind) {
      case "read":
        return this.#issueData(operation, "read", 0, operation.payload as Payload, 0);
      case "write":
        return this.#issueData(
          operation,
          "write",
          this.makesDurable(operation) ? SUBMIT_FUA : 0,
          operation.payload as Payload,
          operation.piece?.start ?? 0,
        );
      case "zero":
        if (!this.#geometry.zero) operation.writesZeroes = true;
        return operation.writesZeroes
          ? this.#issueZeroes(operation)
          : this.#issueEffect(operation, "zero", zeroFlags(operation));
      case "trim":
        return this.#issueEffect(operation, "trim", 0);
      case "extents":
        return this.#issueWhole(operation, "extents", (operation.payload as Payload).slots[0]?.address);
      case "flush":
        return this.#issueWhole(operation, "flush");
      case "cache":
        throw new Error("a cache request is not for the driver");
    }
  }

  /** Reads `length` bytes, in one slot, for the device's own use. */
  issueCheck(check: Operation, payload: Payload, position: number): void {
    this.#submit(check, "read", 0, check.offset, check.length, addressOf(payload, position));
    check.issued = true;
    check.position = check.length;
  }

  kick(): void {
    if (this.#unkicked) this.#link.kick();
    this.#unkicked = false;
  }

  /**
   * The operation that a completion is of, if it is now over (all parts that were issued are back); "more" if it
   * isn't; a fault if the completion is wrong, which then has had no effect.
   */
  complete(tag: number, errno: number, count: number): Operation | "more" | { fault: CompletionFault } {
    const operation = this.#tags.find(tag);
    if (operation === undefined) return { fault: "unknown-tag" };
    if (!isErrno(errno)) return { fault: "unknown-error" };
    if (errno === 0) {
      const fault = this.#checkCount(operation, this.#tags.lengthOf(tag), count);
      if (fault !== undefined) return { fault };
    }
    const took = this.now - this.#tags.since(tag);
    if (took > 0) this.#noteSlow(this.#tags.kindOf(tag), took);
    this.completed++;
    this.#tags.free(tag);
    operation.outstanding--;
    if (operation.errno === 0) operation.errno = errno;
    return operation.outstanding === 0 && operation.allIssued ? operation : "more";
  }

  #checkCount(operation: Operation, length: number, count: number): CompletionFault | undefined {
    switch (operation.kind) {
      case "read":
      case "write":
        return count === length ? undefined : "wrong-length";
      case "zero":
        return count === (operation.writesZeroes ? length : 0) ? undefined : "wrong-length";
      case "extents": {
        if (!(count >= EXTENT_BYTES && count <= EXTENTS_SLOT_BYTES)) return "wrong-length";
        const { request } = operation;
        if (request?.payload === undefined) return undefined;
        request.extents = decodeExtents(slotBytes(request.payload, 0, count), length, this.#geometry.blockSize);
        return request.extents === undefined ? "malformed-extents" : undefined;
      }
      default:
        return count === 0 ? undefined : "wrong-length";
    }
  }

  #noteSlow(kind: Kind, took: number): void {
    if (took > (this.#slowest.get(kind) ?? -1)) this.#slowest.set(kind, took);
  }

  #issueData(operation: Operation, kind: "read" | "write", flags: number, payload: Payload, start: number): void {
    const from = start + operation.position;
    const length = Math.min(operation.length - operation.position, restOfSlot(from));
    this.#submit(operation, kind, flags, operation.offset + operation.position, length, addressOf(payload, from));
    operation.position += length;
  }

  #issueZeroes(operation: Operation): void {
    const length = Math.min(operation.length - operation.position, MAX_SLOT_BYTES);
    const flags = this.makesDurable(operation) ? SUBMIT_FUA : 0;
    this.#submit(operation, "write", flags, operation.offset + operation.position, length, this.#zeroes);
    operation.position += length;
  }

  #issueEffect(operation: Operation, kind: "zero" | "trim", flags: number): void {
    const length = Math.min(operation.length - operation.position, this.#link.maxEffect);
    this.#submit(operation, kind, flags, operation.offset + operation.position, length, 0);
    operation.position += length;
  }

  #issueWhole(operation: Operation, kind: "extents" | "flush", address = 0): void {
    this.#submit(operation, kind, 0, operation.offset, operation.length, address);
    operation.position = operation.length;
  }

  #submit(operation: Operation, kind: Kind, flags: number, offset: number, length: number, address: number): void {
    operation.outstanding++;
    this.#unkicked = true;
    this.#link.submit(this.#tags.take(operation, kind, length, this.now), kind, flags, offset, length, address);
  }
}

function zeroFlags(operation: Operation): number {
  const mayTrim = operation.piece?.mayTrim ?? operation.request?.mayTrim ?? false;
  // A replay has to succeed, fast or not.
  const fast = operation.request?.fast ?? false;
  return (mayTrim ? SUBMIT_MAY_TRIM : 0) | (fast ? SUBMIT_FAST : 0);
}

function addressOf(payload: Payload, position: number): number {
  const slot = payload.slots[Math.floor(position / MAX_SLOT_BYTES)];
  assert(slot !== undefined);
  return slot.address + (position % MAX_SLOT_BYTES);
}
