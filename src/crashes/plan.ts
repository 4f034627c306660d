import { SeededRandom } from "../block/random.ts";
import { allStates, drawStates, stateCount, type Tearing } from "./draw.ts";
import type { History } from "./history.ts";
import type { CrashPoint } from "./points.ts";
import type { CrashState } from "./state.ts";

/** So many draws in a row that bring nothing new end a point: nearly all of its states have been seen. */
const MAX_VAIN_DRAWS = 64;
/** A point where so many states aren't affordable is left out: one or two would be those that say least. */
const MIN_STATES = 8;

export interface PlannedState {
  readonly point: CrashPoint;
  readonly state: CrashState;
}

export interface PlanOptions {
  readonly tearing: Tearing;
  readonly seed: number;
  /** How many states at most, over all points. */
  readonly limit: number;
  /** What equal states have in common: stateKey. */
  readonly keyOf: (state: CrashState, mark: string | undefined) => string;
}

/** Which states are checked: different ones, in the order of the log. */
export class Plan {
  /** How many there are at most; it shrinks as equal ones are found. */
  total: number;
  /** Whether all states of all points are among them. */
  readonly exhaustive: boolean;
  readonly #history: History;
  readonly #points: readonly CrashPoint[];
  readonly #shares: readonly number[];
  readonly #options: PlanOptions;

  constructor(history: History, points: readonly CrashPoint[], options: PlanOptions) {
    this.#history = history;
    this.#points = points;
    this.#options = options;
    const demands = points.map((point) => stateCount(history, point, options.tearing));
    const taken = affordable(options.limit, demands, new SeededRandom(options.seed));
    this.#shares = shareOut(
      options.limit,
      demands.map((demand, index) => (taken.has(index) ? demand : 0)),
    );
    this.total = this.#shares.reduce((sum, share) => sum + share, 0);
    this.exhaustive = demands.every((demand, index) => demand === this.#shares[index]);
  }

  *[Symbol.iterator](): Generator<PlannedState, void, undefined> {
    const { tearing, seed, keyOf } = this.#options;
    const seen = new Set<string>();
    let spare = 0;
    for (const [number, point] of this.#points.entries()) {
      const share = (this.#shares[number] as number) + spare;
      if (share === 0) continue;
      const isAll = stateCount(this.#history, point, tearing) <= share;
      const draws = isAll
        ? allStates(this.#history, point, tearing)
        : // A stream of its own, so that a point has the same states whatever becomes of the others.
          drawStates(this.#history, point, tearing, new SeededRandom(seed, 1 + point.end));
      let [found, vain] = [0, 0];
      for (const state of draws) {
        if (found === share || vain === MAX_VAIN_DRAWS) break;
        const key = keyOf(state, point.mark);
        if (seen.has(key)) {
          if (!isAll) vain++;
          continue;
        }
        seen.add(key);
        [found, vain] = [found + 1, 0];
        yield { point, state };
      }
      spare = share - found;
    }
    this.total -= spare;
  }
}

/** The points, by their numbers, that `limit` is enough for: all of them, or some by chance. */
function affordable(limit: number, demands: readonly number[], random: SeededRandom): Set<number> {
  const taken = new Set<number>();
  let needed = 0;
  for (const index of random.shuffled([...demands.keys()])) {
    needed += Math.min(demands[index] as number, MIN_STATES);
    if (needed > limit && taken.size > 0) break;
    taken.add(index);
  }
  return taken;
}

/** Shares out `limit` so that nobody gets more than it asks for, and who gets less than that gets as much as any other. */
export function shareOut(limit: number, demands: readonly number[]): number[] {
  const shares = demands.map(() => 0);
  const order = demands.map((_, index) => index).sort((a, b) => (demands[a] as number) - (demands[b] as number));
  let left = limit;
  for (const [served, index] of order.entries()) {
    const share = Math.min(demands[index] as number, Math.floor(left / (order.length - served)));
    shares[index] = share;
    left -= share;
  }
  return shares;
}
