import { yieldCore } from "../os/yield.ts";

/** How long to look on after the last activity before going to sleep, in milliseconds. */
const SPIN_MS = 0.05;
/** More than so many pieces of work at a time make a doorbell cheap, and the core is better left to whoever sends them. */
export const FEW = 4;
/** Fruitless spins in a row, net of fruitful ones, until spinning stops. */
const CREDIT = 8;
/** Sleeps to go without a spin before it is tried again. */
const PAUSE_SLEEPS = 128;

/**
 * Looks for work from the event loop for a short while before its owner sleeps: cheaper than a doorbell where work
 * comes at once, a waste of a core where it does not. So spins that seldom pay are switched off for a while.
 */
export class Spin {
  readonly #look: () => number;
  readonly #idle: () => boolean;
  readonly #turn: () => void;
  #spinning = false;
  #until = 0;
  #fruitful = false;
  #credit = CREDIT;
  #pause = 0;

  /**
   * `look`: does what there is to do, and says how much that was. `idle`: goes to sleep; false where something
   * came up. Neither is called any more once `stop` was.
   */
  constructor(look: () => number, idle: () => boolean) {
    this.#look = look;
    this.#idle = idle;
    this.#turn = () => this.#spin();
  }

  /** There was activity: spins on, or sleeps at once where spinning does not pay. `expecting`: more work may come soon. */
  active(expecting: boolean): void {
    if (this.#spinning) {
      this.#until = expecting ? performance.now() + SPIN_MS : 0;
      return;
    }
    const worthwhile = expecting && this.#worthwhile();
    if (!worthwhile && this.#idle()) return;
    this.#spinning = true;
    this.#fruitful = false;
    this.#until = worthwhile ? performance.now() + SPIN_MS : 0;
    setImmediate(this.#turn);
  }

  /** From now on nothing is called. */
  stop(): void {
    this.#until = -1;
  }

  #spin(): void {
    if (this.#until < 0) return;
    const worked = this.#look();
    if (this.#until < 0) return;
    if (worked > 0) {
      this.#fruitful = true;
      this.#until = worked <= FEW ? performance.now() + SPIN_MS : 0;
    } else if (performance.now() >= this.#until && this.#idle()) {
      this.#spinning = false;
      this.#account();
      return;
    } else {
      // Who is waited for may be waiting for this very core.
      yieldCore();
    }
    setImmediate(this.#turn);
  }

  #account(): void {
    if (this.#fruitful) this.#credit = Math.min(this.#credit + 1, CREDIT);
    else if (--this.#credit <= 0) this.#pause = PAUSE_SLEEPS;
  }

  #worthwhile(): boolean {
    if (this.#pause === 0) return true;
    if (--this.#pause === 0) this.#credit = 2;
    return false;
  }
}
