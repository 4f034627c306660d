import type { Random } from "../shadow/ports.ts";

/** What 2^32 is divided by in each step: odd, and near the golden ratio, so that all values come before one comes again. */
const STEP = 0x9e3779b9;

/**
 * Chance that a seed decides, the same on every machine: a counter whose bits are mixed (Sebastiano Vigna's SplitMix, cut to 32
 * bits, with the mixer of MurmurHash3). Good enough to choose faults; not for secrets.
 */
export class SeededRandom implements Random {
  #state: number;

  /** `stream`: seeds are whole numbers from 0 to 2^53, and each has so many sequences of its own. */
  constructor(seed: number, stream = 0) {
    this.#state = mix(mix(mix(seed >>> 0) ^ Math.floor(seed / 0x1_0000_0000)) + stream);
  }

  /** 32 bits, as an unsigned number. */
  next(): number {
    this.#state = (this.#state + STEP) | 0;
    return mix(this.#state);
  }

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
}

function mix(bits: number): number {
  let mixed = bits;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
