import assert from "node:assert/strict";
import { MAX_SLOT_BYTES, type Memory, type Payload } from "../block/memory.ts";

/** Memory for requests, from the heap, with a limit. */
export class HeapMemory implements Memory {
  readonly limitBytes: number;
  usedBytes = 0;
  readonly #onRoom: () => void;

  /** `onRoom`: called when some was given back, perhaps from inside another call. */
  constructor(limitBytes: number, onRoom: () => void) {
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
      slots.push({ address, bytes: Buffer.allocUnsafeSlow(Math.min(MAX_SLOT_BYTES, length - address)) });
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
