/** A whole number, 0 ≤ n < bound. */
export type Random = (bound: number) => number;

/** Whole numbers below a bound, the same ones for the same seed: a linear congruential generator (MMIX). */
export function seededRandom(seed: number): Random {
  let state = BigInt(seed);
  return (bound) => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(bound));
  };
}
