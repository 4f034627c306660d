/**
 * Chance that a seed decides, the same on every machine: sfc32 (Chris Doty-Humphrey's "small fast counting" generator, 32-bit). Good
 * enough to choose loads and faults; not for secrets.
 */
export class SeededRandom {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `seed`: a whole number from 0 to 2^53. `stream`: each seed has so many sequences of its own. */
  constructor(seed: number, stream = 0) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 0x1_0000_0000) >>> 0;
    this.#c = 0x9e3779b9 ^ Math.imul(stream, 0x85ebca6b);
    // The first outputs of neighbouring seeds resemble each other.
    for (let i = 0; i < 12; i++) this.next();
  }

  /** 32 random bits, as an unsigned number. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** A whole number, 0 ≤ n < `bound`, and `bound` ≤ 2^32. */
  below(bound: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * bound);
  }

  /** A whole number, `low` ≤ n ≤ `high`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** The same, with each order of magnitude as likely as the others. */
  magnitude(low: number, high: number): number {
    return Math.round(low * (high / low) ** (this.next() / 0x1_0000_0000));
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.next() < probability * 0x1_0000_0000;
  }

  pick<Item>(items: readonly [Item, ...Item[]]): Item {
    return items[this.below(items.length)] as Item;
  }

  /** The same items in another order. */
  shuffled<Item>(items: readonly Item[]): Item[] {
    const shuffled = [...items];
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = this.below(at + 1);
      [shuffled[at], shuffled[other]] = [shuffled[other] as Item, shuffled[at] as Item];
    }
    return shuffled;
  }

  /** A generator of its own, so that what one part draws does not shift what the others get. */
  fork(): SeededRandom {
    return new SeededRandom(this.next() * 0x10_0000 + (this.next() >>> 12));
  }
}
