import type { Random } from "../shadow/ports.ts";

/** Chance from a seed: the same numbers on every machine (a xorshift generator, Marsaglia 2003, with 32 bits). */
export function seededRandom(seed: number): Random {
  // Neighbouring seeds must not give alike numbers, and zero would give none at all.
  let state = (Math.imul(seed ^ (seed / 0x1_0000_0000), 0x9e3779b1) ^ 0x6a09e667) >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  for (let turn = 0; turn < 8; turn++) next();
  return { below: (bound) => Math.floor((next() / 0x1_0000_0000) * bound) };
}

/** The items in an order of chance. */
export function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const order = [...items];
  for (let at = order.length - 1; at > 0; at--) {
    const other = random.below(at + 1);
    [order[at], order[other]] = [order[other] as Item, order[at] as Item];
  }
  return order;
}
