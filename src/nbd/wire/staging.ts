/**
 * What was received and not yet parsed, in one piece of memory of a fixed size.
 *
 *   0         start       end          capacity
 *   | parsed  | staged    | room       |
 */
export class Staging {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  #start = 0;
  #end = 0;

  /** `capacity`: bytes. What is parsed in one piece must fit into half of it. */
  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Bytes staged. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Where the first staged byte is, in `bytes` and `view`. */
  get start(): number {
    return this.#start;
  }

  /** Room for at most `limit` bytes more; moves what is staged where the room has become short. */
  room(limit: number): Uint8Array {
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    } else if (this.bytes.length - this.#end < this.bytes.length >>> 1) {
      this.bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    return this.bytes.subarray(this.#end, Math.min(this.bytes.length, this.#end + limit));
  }

  /** `count` bytes have been put into the room. */
  filled(count: number): void {
    this.#end += count;
  }

  /** Drops the first `count` staged bytes. */
  skip(count: number): void {
    this.#start += count;
  }

  /** The first `count` staged bytes, borrowed until the next `room`, and drops them. */
  take(count: number): Uint8Array {
    const taken = this.bytes.subarray(this.#start, this.#start + count);
    this.#start += count;
    return taken;
  }

  clear(): void {
    this.#start = this.#end;
  }
}
