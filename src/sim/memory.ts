import assert from "node:assert/strict";
import { type HeldBytes, type KeptMemory, MAX_SLOT_BYTES, type Payload, type Slot } from "../block/memory.ts";

const ARENA_BYTES = 24 << 20;
const MIN_SLOT_BYTES = 512;
/** What memory holds that nobody has filled, or that was given back. */
const POISON = 0xdb;

/** The slots of a memory, by their addresses. */
export type MemoryCopy = readonly Slot[];

// One pair for all worlds of a process: they run one after another, and each sees poison before its own data.
const arenas: Uint8Array[] = [];

/**
 * Memory that tells on whoever misuses it: it is poisoned when it is handed out and when it is given back, and giving
 * back twice is an assertion.
 */
export class PoisonedMemory implements KeptMemory {
  readonly limitBytes: number;
  /** Address of 1 MiB of zeroes. */
  readonly zeroes = 0;
  readonly shape = "slots that a world makes as it goes";
  readonly #arena: Uint8Array;
  /** All slots, by their addresses. */
  readonly #slots: Slot[] = [];
  readonly #free = new Map<number, Slot[]>();
  #top = MAX_SLOT_BYTES;
  #usedBytes = 0;

  /** `arena`: 0 or 1, which of the process's two regions. `from`: what it holds already, to be adopted. */
  constructor(arena: 0 | 1, limitBytes: number, from: MemoryCopy = []) {
    this.limitBytes = limitBytes;
    this.#arena = arenas[arena] ??= new Uint8Array(ARENA_BYTES);
    for (const { address, bytes } of from) {
      const slot = { address, bytes: this.at(address, bytes.length) };
      slot.bytes.set(bytes);
      this.#slots.push(slot);
      this.#top = address + bytes.length;
    }
  }

  /** All that is in it. */
  copy(): MemoryCopy {
    return this.#slots.map(({ address, bytes }) => ({ address, bytes: bytes.slice() }));
  }

  get fullness(): number {
    return this.#usedBytes / this.limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  allocate(length: number): Payload | undefined {
    const sizes: number[] = [];
    let total = 0;
    for (let left = length; left > 0; left -= MAX_SLOT_BYTES) {
      const bytes = slotBytes(Math.min(left, MAX_SLOT_BYTES));
      sizes.push(bytes);
      total += bytes;
    }
    if (this.#usedBytes + total > this.limitBytes) return undefined;
    this.#usedBytes += total;
    const slots = sizes.map((bytes) => this.#take(bytes));
    return { slots, length, references: 1 };
  }

  release(payload: Payload): void {
    assert(payload.references > 0, "memory was given back twice");
    if (--payload.references > 0) return;
    for (const slot of payload.slots) {
      this.#usedBytes -= slot.bytes.length;
      this.#give(slot);
    }
  }

  /** The front that had all of it is dead: what isn't held is given back, and poisoned. */
  adopt(held: readonly HeldBytes[]): readonly (Payload | undefined)[] {
    const payloads = new Map<Slot, Payload>();
    const found = held.map((bytes) => {
      const slot = this.#slotOf(bytes);
      if (slot === undefined) return undefined;
      const payload = payloads.get(slot) ?? { slots: [slot], length: slot.bytes.length, references: 0 };
      payload.references++;
      payloads.set(slot, payload);
      return payload;
    });
    this.#free.clear();
    this.#usedBytes = 0;
    for (const slot of this.#slots) {
      if (payloads.has(slot)) this.#usedBytes += slot.bytes.length;
      else this.#give(slot);
    }
    return found;
  }

  /** The memory at an address, as the driver sees it. */
  at(address: number, length: number): Uint8Array {
    return this.#arena.subarray(address, address + length);
  }

  #slotOf({ address, length }: HeldBytes): Slot | undefined {
    const slot = this.#slots.findLast((other) => other.address <= address);
    return slot !== undefined && address + length <= slot.address + slot.bytes.length ? slot : undefined;
  }

  #give(slot: Slot): void {
    slot.bytes.fill(POISON);
    const free = this.#free.get(slot.bytes.length);
    if (free === undefined) this.#free.set(slot.bytes.length, [slot]);
    else free.push(slot);
  }

  #take(bytes: number): Slot {
    const slot = this.#free.get(bytes)?.pop();
    if (slot !== undefined) return slot;
    const address = this.#top;
    this.#top += bytes;
    assert(this.#top <= ARENA_BYTES, "a simulated world uses more memory than it should");
    const fresh = { address, bytes: this.#arena.subarray(address, address + bytes) };
    fresh.bytes.fill(POISON);
    this.#slots.push(fresh);
    return fresh;
  }
}

function slotBytes(length: number): number {
  return Math.max(MIN_SLOT_BYTES, 2 ** Math.ceil(Math.log2(length)));
}
