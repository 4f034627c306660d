import { strict as assert } from "node:assert";
import { MAX_SLOT_BYTES, type Memory, type Payload } from "./memory.ts";

/** Memory for requests, from the heap, with a limit: a new slot for each part of a payload. */
export class PlainMemory implements Memory {
  readonly limitBytes: number;
  usedBytes = 0;
  readonly #onRoom: () => void;

  /** `onRoom`: called when some was given back, perhaps from inside another call. */
  constructor(limitBytes = 64 << 20, onRoom: () => void = () => {}) {
    this.limitBytes = limitBytes;
    this.#onRoom = onRoom;
  }

  get fullness(): number {
    return this.usedBytes / this.limitBytes;
  }

  allocate(length: number): Payload | undefined {
    if (this.usedBytes + length > this.limitBytes) return undefined;
    this.usedBytes += length;
    const slots = [];
    for (let address = 0; address < length; address += MAX_SLOT_BYTES) {
      slots.push({ address, bytes: new Uint8Array(Math.min(MAX_SLOT_BYTES, length - address)) });
    }
    return { slots, length, references: 1 };
  }

  release(payload: Payload): void {
    assert(payload.references > 0, "a payload was released twice");
    if (--payload.references > 0) return;
    this.usedBytes -= payload.length;
    this.#onRoom();
  }
}
