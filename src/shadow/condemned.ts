/** How many blocks are remembered. */
export const MAX_CONDEMNED = 4096;

/**
 * Blocks that the store keeps returning wrongly, over a restart too: reads of them fail without trying that again, until
 * they are written. When there are too many the oldest go: their next read costs another restart, and fails again.
 */
export class Condemned {
  /** Block numbers, the oldest first. */
  readonly #blocks = new Set<number>();

  get size(): number {
    return this.#blocks.size;
  }

  add(first: number, count: number): void {
    for (let block = Math.max(first, first + count - MAX_CONDEMNED); block < first + count; block++) {
      this.#blocks.add(block);
    }
    for (const oldest of this.#blocks) {
      if (this.#blocks.size <= MAX_CONDEMNED) break;
      this.#blocks.delete(oldest);
    }
  }

  pardon(first: number, count: number): void {
    if (this.#blocks.size === 0) return;
    for (const block of this.#in(first, count)) this.#blocks.delete(block);
  }

  touches(first: number, count: number): boolean {
    return this.#blocks.size > 0 && !this.#in(first, count).next().done;
  }

  /** Looks at no more than there are, or the range has. */
  *#in(first: number, count: number): Generator<number> {
    if (count > this.#blocks.size) {
      for (const block of this.#blocks) if (block >= first && block < first + count) yield block;
    } else {
      for (let block = first; block < first + count; block++) if (this.#blocks.has(block)) yield block;
    }
  }
}
