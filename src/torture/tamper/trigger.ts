import type { Persistence } from "../plan.ts";
import type { Strikes } from "./strikes.ts";

/** Decides which calls of one incarnation are struck. */
export class Trigger {
  readonly #nth: number;
  readonly #persistence: Persistence;
  readonly #strikes: Strikes;
  #calls = 0;
  #hasStruck = false;

  constructor(fault: { readonly nth: number; readonly persistence: Persistence }, strikes: Strikes) {
    this.#nth = fault.nth;
    this.#persistence = fault.persistence;
    this.#strikes = strikes;
  }

  /** Counts a call that the fault can strike. True: it strikes this one, which is marked already. */
  pull(): boolean {
    if (this.#persistence === "transient" && this.#hasStruck) return false;
    this.#calls++;
    if (this.#calls % this.#nth !== 0) return false;
    if (this.#hasStruck) return true;
    this.#hasStruck = true;
    const isFirst = this.#strikes.claim(1);
    return isFirst || this.#persistence === "persistent";
  }
}
