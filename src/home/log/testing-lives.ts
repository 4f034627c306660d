import { SeededRandom } from "../../block/random.ts";
import { History } from "./testing-history.ts";

const LIVES = 25;
const MAX_STEPS = 60;

export type End = "kill" | "powerCut" | "close";

/** One front after another over one log, for each seed from the first on, and each ends as `next` says. Throws with the seed. */
export function live(
  seeds: { readonly from: number; readonly count: number },
  next: (random: SeededRandom) => End,
): void {
  for (let seed = seeds.from; seed < seeds.from + seeds.count; seed++) {
    const random = new SeededRandom(seed);
    const history = new History(seed);
    try {
      for (let life = 0; life < LIVES; life++) {
        history.live(random.below(MAX_STEPS));
        history[next(random)]();
      }
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
}

/** Deaths, power cuts and clean ends, as they come. */
export function anyEnd(random: SeededRandom): End {
  return (["kill", "kill", "powerCut", "powerCut", "close"] as const)[random.below(5)] as End;
}
