import assert from "node:assert/strict";
import {
  type HeldBytes,
  type KeptMemory,
  MAX_SLOT_BYTES,
  MIN_SLOT_BYTES,
  type Payload,
  type Slot,
  slotClassOf,
} from "../block/memory.ts";

/** Two of the largest requests fit, whatever smaller ones have taken. */
export const MIN_ARENA_BYTES = 256 << 20;

/** The classes' shares of an arena, from the smallest slots to the largest, in sixteenths: most writes are of 4 KiB. */
const SHARES = [8, 1, 1, 2, 4];
const WHOLE = 16;

export interface SlotClass {
  readonly slotBytes: number;
  readonly count: number;
  /** Address of the first slot. */
  readonly start: number;
}

/*
 * An arena. The zeroes are never written; each class has its slots, of one size, for good:
 *
 *   0        1 MiB                                                          totalBytes
 *   | zeroes | 4 KiB slots | 16 KiB | 64 KiB | 256 KiB slots | 1 MiB slots |
 */
export interface ArenaLayout {
  readonly classes: readonly SlotClass[];
  /** Bytes of all slots. */
  readonly limitBytes: number;
  /** Bytes of the memory that holds them and the zeroes. */
  readonly totalBytes: number;
  /** Address of MAX_SLOT_BYTES of zeroes. */
  readonly zeroes: number;
}

/** Divides about `limitBytes`, and not less than MIN_ARENA_BYTES, among the classes. */
export function arenaLayout(limitBytes: number): ArenaLayout {
  const parts = Math.ceil(Math.max(limitBytes, MIN_ARENA_BYTES) / (WHOLE * MAX_SLOT_BYTES));
  let start = MAX_SLOT_BYTES;
  const classes = SHARES.map((share, index) => {
    const slotBytes = MIN_SLOT_BYTES << (2 * index);
    const bytes = share * parts * MAX_SLOT_BYTES;
    start += bytes;
    return { slotBytes, count: bytes / slotBytes, start: start - bytes };
  });
  return { classes, limitBytes: start - MAX_SLOT_BYTES, totalBytes: start, zeroes: 0 };
}

/** Slots over `memory`: a shared mapping in production, plain memory for a driver in the same process. */
export class Arena implements KeptMemory {
  readonly memory: Uint8Array;
  readonly layout: ArenaLayout;
  readonly #pools: readonly Pool[];
  #usedBytes = 0;

  /** `memory`: `layout.totalBytes` of zeroes, or what an arena of the same layout has left, for {@link adopt}. */
  constructor(layout: ArenaLayout, memory: Uint8Array) {
    assert(memory.byteLength >= layout.totalBytes, "the memory is smaller than the arena");
    this.layout = layout;
    this.memory = memory;
    this.#pools = layout.classes.map((slots) => new Pool(slots, memory));
  }

  get limitBytes(): number {
    return this.layout.limitBytes;
  }

  get fullness(): number {
    let fullest = 0;
    for (const pool of this.#pools) fullest = Math.max(fullest, pool.fullness);
    return fullest;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get zeroes(): number {
    return this.layout.zeroes;
  }

  get shape(): string {
    return this.layout.classes.map(({ count, slotBytes }) => `${count}x${slotBytes}`).join(" + ");
  }

  allocate(length: number): Payload | undefined {
    assert(length > 0, "a payload has a length");
    if (length > MAX_SLOT_BYTES) return this.#allocateLarge(length);
    const slot = this.#take(length);
    return slot === undefined ? undefined : { slots: slot.alone, length, references: 1 };
  }

  release(payload: Payload): void {
    assert(payload.references > 0, "a payload was released twice");
    if (--payload.references > 0) return;
    const slots = payload.slots;
    for (let i = 0; i < slots.length; i++) this.#give(slots[i] as PooledSlot);
  }

  adopt(held: readonly HeldBytes[]): readonly (Payload | undefined)[] {
    assert(this.#usedBytes === 0, "an arena adopts before it allocates");
    const places = held.map((bytes) => this.#placeOf(bytes));
    const payloads = new Map<number, Payload>();
    for (const [index, pool] of this.#pools.entries()) {
      const slots = places.filter((place) => place?.pool === index).map((place) => place?.slot ?? 0);
      for (const slot of pool.adopt(new Set(slots))) {
        const length = slot.bytes.byteLength;
        this.#usedBytes += length;
        payloads.set(slot.address, { slots: slot.alone, length, references: 0 });
      }
    }
    return places.map((place) => {
      const payload = payloads.get(place?.address ?? -1);
      if (payload !== undefined) payload.references++;
      return payload;
    });
  }

  /** The slot that holds these bytes. */
  #placeOf({ address, length }: HeldBytes): Place | undefined {
    const pool = this.layout.classes.findLastIndex(({ start }) => start <= address);
    const slots = this.layout.classes[pool];
    if (slots === undefined) return undefined;
    const slot = Math.floor((address - slots.start) / slots.slotBytes);
    const start = slots.start + slot * slots.slotBytes;
    const isInside = slot < slots.count && length > 0 && address + length <= start + slots.slotBytes;
    return isInside ? { pool, slot, address: start } : undefined;
  }

  #allocateLarge(length: number): Payload | undefined {
    const whole = Math.floor(length / MAX_SLOT_BYTES);
    const tail = length - whole * MAX_SLOT_BYTES;
    const large = this.#pools[SHARES.length - 1] as Pool;
    if (large.free < whole) return undefined;
    const slots: PooledSlot[] = [];
    for (let i = 0; i < whole; i++) slots.push(large.take() as PooledSlot);
    this.#usedBytes += whole * MAX_SLOT_BYTES;
    const last = tail === 0 ? undefined : this.#take(tail);
    if (last !== undefined) slots.push(last);
    else if (tail > 0) {
      for (const slot of slots) this.#give(slot);
      return undefined;
    }
    return { slots, length, references: 1 };
  }

  /** A slot of the smallest class that holds `length`, or of a larger one: but the largest are for what needs them. */
  #take(length: number): PooledSlot | undefined {
    const last = SHARES.length - 1;
    const fitting = slotClassOf(length);
    for (let index = fitting; index < last || index === fitting; index++) {
      const slot = (this.#pools[index] as Pool).take();
      if (slot === undefined) continue;
      this.#usedBytes += slot.bytes.byteLength;
      return slot;
    }
    return undefined;
  }

  #give(slot: PooledSlot): void {
    const bytes = slot.bytes.byteLength;
    this.#usedBytes -= bytes;
    (this.#pools[slotClassOf(bytes)] as Pool).give(slot);
  }
}

interface PooledSlot extends Slot {
  /** The list of this slot alone, for payloads that need no other. */
  readonly alone: readonly PooledSlot[];
  taken: boolean;
}

/** Where a slot is: the class of its pool, its number there, and its address. */
interface Place {
  readonly pool: number;
  readonly slot: number;
  readonly address: number;
}

/** The slots of one class. The one given back last is taken first, which keeps the memory in use small and warm. */
class Pool {
  readonly #class: SlotClass;
  readonly #memory: Uint8Array;
  readonly #given: PooledSlot[] = [];
  /** Slots that have been made; the others have never been touched. */
  #made = 0;

  constructor(slots: SlotClass, memory: Uint8Array) {
    this.#class = slots;
    this.#memory = memory;
  }

  get free(): number {
    return this.#class.count - this.#made + this.#given.length;
  }

  get fullness(): number {
    return (this.#made - this.#given.length) / this.#class.count;
  }

  take(): PooledSlot | undefined {
    const slot = this.#given.pop() ?? this.#make();
    if (slot !== undefined) slot.taken = true;
    return slot;
  }

  give(slot: PooledSlot): void {
    assert(slot.taken, "a slot was given back twice");
    slot.taken = false;
    this.#given.push(slot);
  }

  /** Takes the slots with these numbers, in a pool that has made none. Those before them are as if they had been given back. */
  adopt(numbers: ReadonlySet<number>): PooledSlot[] {
    const adopted: PooledSlot[] = [];
    for (let missing = numbers.size; missing > 0; ) {
      const isTaken = numbers.has(this.#made);
      const slot = this.#make() as PooledSlot;
      slot.taken = isTaken;
      (isTaken ? adopted : this.#given).push(slot);
      if (isTaken) missing--;
    }
    // The lowest is taken first, as ever.
    this.#given.reverse();
    return adopted;
  }

  #make(): PooledSlot | undefined {
    const { start, slotBytes, count } = this.#class;
    if (this.#made === count) return undefined;
    const address = start + slotBytes * this.#made++;
    const alone: PooledSlot[] = [];
    const slot = { address, bytes: this.#memory.subarray(address, address + slotBytes), alone, taken: false };
    alone.push(slot);
    return slot;
  }
}
