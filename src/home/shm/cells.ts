/**
 * Memory as numbers. Positions are bytes, and multiples of what is read or stored. A ledger stores through this class alone, so
 * that a test can end a front between any two stores.
 *
 * A killed process leaves behind every store up to some point of the program, and none after it, as far as the compiler keeps
 * them in order: what must not be seen before the stores in front of it is stored by `commit`.
 */
export class Cells {
  readonly bytes: Uint8Array;
  readonly #numbers: Float64Array;
  readonly #words: Int32Array;

  /** `memory`: borrowed; a whole number of 8 bytes, or what is over is not seen. */
  constructor(memory: ArrayBuffer) {
    this.bytes = new Uint8Array(memory);
    this.#numbers = new Float64Array(memory, 0, memory.byteLength >>> 3);
    this.#words = new Int32Array(memory, 0, memory.byteLength >>> 2);
  }

  number(at: number): number {
    return this.#numbers[at >>> 3] as number;
  }

  /** 32 bits, signed. */
  word(at: number): number {
    return this.#words[at >>> 2] as number;
  }

  setNumber(at: number, value: number): void {
    this.#numbers[at >>> 3] = value;
  }

  setWord(at: number, value: number): void {
    this.#words[at >>> 2] = value;
  }

  setBytes(at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, at);
  }

  /** Stores a word, after everything that was stored before, and before everything that is stored after. */
  commit(at: number, value: number): void {
    Atomics.store(this.#words, at >>> 2, value);
  }
}
