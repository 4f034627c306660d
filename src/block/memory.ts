/** The largest slot, and so the largest part of a request that a driver is handed at once. */
export const MAX_SLOT_BYTES = 1 << 20;
/** The smallest slot. Slots come in classes, each four times the one before, up to MAX_SLOT_BYTES. */
export const MIN_SLOT_BYTES = 4096;
export const SLOT_CLASSES = 5;
/** The largest payload of one request: what NBD allows without negotiation. */
export const MAX_PAYLOAD_BYTES = 32 << 20;

/** A fixed piece of an arena. Preallocated; identity is stable. */
export interface Slot {
  /** Bytes from the start of the arena. */
  readonly address: number;
  /** The slot's whole memory, seen by the front. */
  readonly bytes: Uint8Array;
}

/**
 * The memory of one request: slots, all of them MAX_SLOT_BYTES but the last, which may be smaller.
 * Byte i of the payload is byte i % MAX_SLOT_BYTES of slot ⌊i / MAX_SLOT_BYTES⌋.
 * Counted references: a write's payload is shared by the request and the pieces cut from it.
 */
export interface Payload {
  readonly slots: readonly Slot[];
  /** The bytes asked for; the slots may hold more. */
  readonly length: number;
  references: number;
}

/** A bounded pool of slots over one arena: the port through which the core gets memory. */
export interface Memory {
  /** With one reference, or `undefined` where the pool can't serve it now. Contents are whatever was there before. */
  allocate(length: number): Payload | undefined;
  /** Drops one reference; the last one frees the slots. */
  release(payload: Payload): void;
  /** Bytes in slots that are taken. */
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** How much of it is taken, from 0 to 1: of the fullest part, where it has parts. */
  readonly fullness: number;
}

/** Memory that outlives the front. Another front finds the bytes there, and has to be told which of them count. */
export interface KeptMemory extends Memory {
  /** How it is divided, in words, on one line: memory of the same shape has the same slots at the same addresses. */
  readonly shape: string;
  /**
   * Takes the slots that hold these bytes; all others are free. Nothing has been allocated before. Returns the payload that has
   * each of them, in the same order: one for each slot, as long as the slot, with a reference for each time that it is returned;
   * `undefined` for bytes that don't lie in one slot, after which the memory is of no use.
   */
  adopt(held: readonly HeldBytes[]): readonly (Payload | undefined)[];
}

export interface HeldBytes {
  /** Bytes from the start of the memory. */
  readonly address: number;
  readonly length: number;
}

/** Bytes of a payload from `position` on that lie in the same slot, if there are so many. */
export function restOfSlot(position: number): number {
  return MAX_SLOT_BYTES - (position % MAX_SLOT_BYTES);
}

/** `length` bytes of a payload from `position` on, which must lie in one slot. */
export function slotBytes(payload: Payload, position: number, length: number): Uint8Array {
  const slot = payload.slots[Math.floor(position / MAX_SLOT_BYTES)];
  if (slot === undefined) throw new RangeError(`payload of ${payload.length} bytes has no byte ${position}`);
  const from = position % MAX_SLOT_BYTES;
  return slot.bytes.subarray(from, from + length);
}

/** The class of the smallest slots that hold `length` bytes; the largest for what takes several. */
export function slotClassOf(length: number): number {
  if (length <= MIN_SLOT_BYTES) return 0;
  const bits = 32 - Math.clz32(Math.min(length, MAX_SLOT_BYTES) - 1);
  return (bits - Math.log2(MIN_SLOT_BYTES) + 1) >> 1;
}
