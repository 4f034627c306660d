import assert from "node:assert/strict";
import { ERRNO, type Errno, errnoOf } from "../block/errors.ts";
import type { Geometry } from "../block/geometry.ts";
import { MAX_PAYLOAD_BYTES, MAX_SLOT_BYTES, slotBytes } from "../block/memory.ts";
import { PlainMemory } from "../block/plain-memory.ts";
import type { Request } from "../block/request.ts";
import type { BlockDevice } from "../shadow/ports.ts";
import { Overlay } from "./overlay.ts";
import type { RecordedDisk } from "./recorded-disk.ts";
import type { CrashState } from "./state.ts";

/**
 * Any byte may be asked for, whatever sectors the recorded disk had: who writes some bytes to a disk, as e2fsck does to its superblock, is
 * served by the disk's cache in the kernel; a file of nbdfuse has none, and passes them on as they are.
 */
const BLOCK_BYTES = 1;
/** Of requests that are under way: two of the largest. */
const MEMORY_BYTES = 2 * MAX_PAYLOAD_BYTES;

/** A state as a disk that can be written to: what is written is seen by its own clients alone, and is gone with it. */
export class StateDevice implements BlockDevice {
  readonly geometry: Geometry;
  readonly reads: PlainMemory;
  readonly #disk: RecordedDisk;
  readonly #state: CrashState;
  readonly #overlay: Overlay;
  #submitted: Request[] = [];
  #waiting: (() => void)[] = [];
  #isClosed = false;

  /** `overlay`: an empty file, open for reading and writing, for what is written. It stays the caller's. */
  constructor(disk: RecordedDisk, state: CrashState, overlay: number) {
    this.#disk = disk;
    this.#state = state;
    this.#overlay = new Overlay(overlay);
    this.reads = new PlainMemory(MEMORY_BYTES, () => setImmediate(() => this.#callWaiting()));
    this.geometry = {
      size: disk.size,
      blockSize: BLOCK_BYTES,
      readOnly: false,
      fua: true,
      trim: true,
      zero: true,
      extents: false,
    };
  }

  admit(request: Request): "admitted" | "wait" | Errno {
    if (request.kind !== "read" && request.kind !== "write") return "admitted";
    request.payload = this.reads.allocate(request.length);
    return request.payload === undefined ? "wait" : "admitted";
  }

  whenRoom(_request: Request, callback: () => void): () => void {
    this.#waiting.push(callback);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== callback);
    };
  }

  submit(request: Request): void {
    this.#submitted.push(request);
  }

  abandon(request: Request): void {
    if (request.payload !== undefined) this.reads.release(request.payload);
  }

  kick(): void {
    const batch = this.#submitted;
    this.#submitted = [];
    for (const request of batch) {
      const errno = this.#execute(request);
      if (request.kind === "write" && request.payload !== undefined) this.reads.release(request.payload);
      request.requester.reply(request, errno);
    }
  }

  /** From here on requests fail, and nothing is read or written any more. */
  close(): void {
    this.#isClosed = true;
  }

  #execute(request: Request): Errno {
    if (this.#isClosed) return ERRNO.ESHUTDOWN;
    try {
      return this.#tryTo(request);
    } catch (error) {
      return errnoOf(error);
    }
  }

  #tryTo(request: Request): Errno {
    const { kind, offset, length, payload } = request;
    switch (kind) {
      case "read":
        for (const [at, bytes] of partsOf(payload, length)) {
          this.#overlay.read(offset + at, bytes, (from, into) => this.#disk.read(this.#state, from, into));
        }
        return 0;
      case "write":
        if (this.#overlay.isFull) return ERRNO.ENOSPC;
        for (const [at, bytes] of partsOf(payload, length)) this.#overlay.write(offset + at, bytes);
        return 0;
      case "zero":
      case "trim":
        if (this.#overlay.isFull) return ERRNO.ENOSPC;
        this.#overlay.zero(offset, length);
        return 0;
      case "extents":
        request.extents = [{ length, hole: false, zero: false }];
        return 0;
      case "flush":
      case "cache":
        return 0;
    }
  }

  /** Each asks again, and waits again where there is none. */
  #callWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }
}

/** The parts of a payload that lie in one slot, each with where it begins. Bytes. */
function* partsOf(payload: Request["payload"], length: number): Generator<[number, Uint8Array], void, undefined> {
  assert(payload !== undefined);
  for (let at = 0; at < length; at += MAX_SLOT_BYTES) {
    yield [at, slotBytes(payload, at, Math.min(MAX_SLOT_BYTES, length - at))];
  }
}
