import type { FaultKind } from "../block/fault.ts";
import type { Random } from "../shadow/ports.ts";
import type { Policy } from "./policy.ts";

/** So many incarnations in a row that ended before they had done anything: what another driver is for, if there is one. */
const FRUITLESS_BEFORE_FALLBACK = 3;
/** The budget of a driver that there is another one for, where the policy names none. */
const BUDGET_WITH_FALLBACK = 10;
/** Who has been live for so long is well, though nobody asked it for anything. */
const LONG_LIFE_MS = 10_000;
/** A delay is up to this part of it longer or shorter: devices that failed together should not come back together. */
const JITTER = 0.25;
const JITTER_STEPS = 1000;

/** How an incarnation ended that was not meant to. */
export interface UnplannedEnd {
  readonly kind: FaultKind;
  /** How long it had been live; `undefined` if it had not come to that. */
  readonly liveMs: number | undefined;
  /** It had executed something that was asked of it. */
  readonly wasFruitful: boolean;
}

/** What follows: another incarnation after so long, or no more of this driver, and why. */
export type Cure = { readonly restartAfterMs: number } | { readonly exhausted: string };

/**
 * Chooses the mildest thing that may help: a restart at once; where incarnations in a row end before they have done anything, one
 * after a delay that doubles; past the budget of restarts per time, another driver or none.
 */
export class CurePlan {
  readonly #policy: Policy;
  readonly #random: Random;
  readonly #budget: number;
  readonly #hasFallback: () => boolean;
  /** Incarnations in a row that ended before they had done anything. */
  #fruitless = 0;
  /** When restarts were, of late. */
  #restarts: number[] = [];

  /** `hasFallback`: whether there is another driver to try. */
  constructor(policy: Policy, random: Random, hasFallback: () => boolean) {
    this.#policy = policy;
    this.#random = random;
    this.#hasFallback = hasFallback;
    this.#budget = policy.restartBudget > 0 || !hasFallback() ? policy.restartBudget : BUDGET_WITH_FALLBACK;
  }

  /** An incarnation has ended at `now`. */
  next(end: UnplannedEnd, now: number): Cure {
    this.#fruitless = isFruitless(end) ? this.#fruitless + 1 : 0;
    if (this.#overBudget(now))
      return { exhausted: `more than ${this.#budget} restarts within ${this.#policy.restartBudgetMs} ms` };
    if (this.#fruitless >= FRUITLESS_BEFORE_FALLBACK && this.#hasFallback()) {
      return { exhausted: `${this.#fruitless} incarnations in a row ended before they had done anything` };
    }
    return { restartAfterMs: this.#fruitless < 2 ? 0 : this.#delay(this.#fruitless - 1) };
  }

  /** What ended them is found: the next one need not wait. */
  found(): void {
    this.#fruitless = 0;
  }

  /** Another driver, or the operator's word: everything begins anew. */
  reset(): void {
    this.#fruitless = 0;
    this.#restarts = [];
  }

  #overBudget(now: number): boolean {
    if (this.#budget === 0) return false;
    this.#restarts = this.#restarts.filter((at) => at > now - this.#policy.restartBudgetMs);
    this.#restarts.push(now);
    return this.#restarts.length > this.#budget;
  }

  #delay(attempt: number): number {
    const { restartDelayMs, maxRestartDelayMs } = this.#policy;
    const delay = Math.min(restartDelayMs * 2 ** (attempt - 1), maxRestartDelayMs);
    const chance = this.#random.below(JITTER_STEPS) / JITTER_STEPS;
    return Math.round(delay * (1 - JITTER + 2 * JITTER * chance));
  }
}

/** One that the operator ended, that was live for long, or that somebody ended while there was nothing to do, has not failed at anything. */
function isFruitless({ kind, liveMs, wasFruitful }: UnplannedEnd): boolean {
  if (wasFruitful || kind === "operator") return false;
  if (liveMs === undefined) return true;
  return liveMs < LONG_LIFE_MS && kind !== "killed";
}
