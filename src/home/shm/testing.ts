import { Cells } from "./cells.ts";

/** The front has died between two stores. */
export class Killed extends Error {}

/** Cells of a front that dies after `left` stores. Of a store of bytes, the first ones may have been made. */
export class MortalCells extends Cells {
  left = Number.POSITIVE_INFINITY;
  /** Stores that were made. */
  stores = 0;

  override setNumber(at: number, value: number): void {
    this.#live(1);
    super.setNumber(at, value);
  }

  override setWord(at: number, value: number): void {
    this.#live(1);
    super.setWord(at, value);
  }

  override setBytes(at: number, bytes: Uint8Array): void {
    const whole = Math.min(bytes.byteLength, this.left);
    super.setBytes(at, bytes.subarray(0, whole));
    this.#live(bytes.byteLength);
  }

  override commit(at: number, value: number): void {
    this.#live(1);
    super.commit(at, value);
  }

  #live(stores: number): void {
    this.left -= stores;
    if (this.left < 0) throw new Killed();
    this.stores += stores;
  }
}
