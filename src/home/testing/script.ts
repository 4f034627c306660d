/** A load that a front and whoever looks at what it has left both know by heart. */

export const BLOCK = 4096;
export const BLOCKS = 8;

export interface ScriptedWrite {
  readonly at: number;
  readonly blocks: number;
  /** Durable in the store: so it cuts what is there and is not kept. */
  readonly durable: boolean;
}

/** The write with this number, from 1 on. */
export function scriptedWrite(number: number): ScriptedWrite {
  const mixed = Math.imul(number, 0x9e37_79b1) >>> 8;
  const at = mixed % BLOCKS;
  return { at, blocks: 1 + ((mixed >>> 4) % (BLOCKS - at)), durable: number % 5 === 0 };
}

/** For each block the number of the write that its home holds, after so many writes; 0 if none. */
export function heldAfter(writes: number): number[] {
  const held: number[] = new Array(BLOCKS).fill(0);
  for (let number = 1; number <= writes; number++) {
    const { at, blocks, durable } = scriptedWrite(number);
    held.fill(durable ? 0 : number, at, at + blocks);
  }
  return held;
}
