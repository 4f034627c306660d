/** What is remembered of a few blocks: no more than `limit`, the newest. */
export class BlockMap<Value> {
  readonly #limit: number;
  /** By block number, the oldest first. */
  readonly #values = new Map<number, Value>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#values.size;
  }

  get(block: number): Value | undefined {
    return this.#values.get(block);
  }

  /** When there are too many, the oldest goes. */
  set(block: number, value: Value): void {
    this.#values.set(block, value);
    if (this.#values.size <= this.#limit) return;
    const [oldest] = this.#values.keys();
    this.#values.delete(oldest as number);
  }

  delete(first: number, count: number): void {
    if (this.#values.size === 0) return;
    for (const [block] of this.within(first, count)) this.#values.delete(block);
  }

  touches(first: number, count: number): boolean {
    return this.#values.size > 0 && !this.within(first, count).next().done;
  }

  /** Those of a range, in no order. Looks at no more than there are, or the range has. */
  *within(first: number, count: number): Generator<[number, Value]> {
    if (count > this.#values.size) {
      for (const entry of this.#values) if (entry[0] >= first && entry[0] < first + count) yield entry;
    } else {
      for (let block = first; block < first + count; block++) {
        const value = this.#values.get(block);
        if (value !== undefined) yield [block, value];
      }
    }
  }
}
