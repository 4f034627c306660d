import type { SeededRandom } from "../block/random.ts";
import type { VirtualClock } from "./clock.ts";
import type { Fates } from "./fates.ts";
import type { HomeProfile } from "./profile.ts";

/**
 * Who dies at once. A driver dies of its front's death anyway, a while later; with "power" everything does that is volatile.
 * "handover": the front is to end in order, for another one.
 */
export type Death = "driver" | "front" | "both" | "power" | "handover";

const WITHOUT = ["front", "front", "front", "both", "both", "handover"] as const;
const WITH_POWER_CUTS = ["front", "front", "both", "power", "power", "power", "handover"] as const;
/** A front that has just come dies within this many milliseconds, if it is to die of a second blow. */
const AGAIN_MS = 80;
const LATER_MS = 400;
/** From the driver's death to its front's. */
const SHORTLY_MS = 30;

export interface ReaperPorts {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly fates: Fates;
  readonly profile: HomeProfile;
  /** Off: nobody is taken any more. */
  faults(): boolean;
  take(death: Death): void;
}

/** Takes fronts, one after another: between two turns, or in the middle of one. */
export class Reaper {
  readonly #ports: ReaperPorts;
  #left: number;
  /** Waits for a good moment, of the front that lives. `atHome`: while it changes what outlives it. */
  #due: { readonly death: Death; readonly atHome: boolean } | undefined;
  #fronts = 0;

  constructor(ports: ReaperPorts) {
    this.#ports = ports;
    this.#left = ports.profile.deaths;
  }

  /** A front has come: when will it go? */
  came(): void {
    const { random, fates, profile } = this.#ports;
    const front = ++this.#fronts;
    this.#due = undefined;
    if (this.#left === 0) return;
    this.#left--;
    const death = random.pick<Death>(profile.powerFails ? WITH_POWER_CUTS : WITHOUT);
    if (death === "handover" && !profile.handsOver) return;
    const driverFirst = death === "front" && random.chance(0.3);
    const ms = random.below(random.chance(0.5) ? AGAIN_MS : LATER_MS);
    if (!fates.comes("death of a front")) return;
    if (driverFirst) this.#at(front, ms, () => this.#ports.take("driver"));
    this.#at(front, driverFirst ? ms + random.below(SHORTLY_MS) : ms, () => this.#come(death));
  }

  /** A point at which the front may die: whether it does, and how. `atHome`: before it changes what outlives it. */
  strikes(atHome: boolean): Death | undefined {
    const due = this.#due;
    if (due === undefined || (due.atHome && !atHome) || !this.#ports.random.chance(0.2)) return undefined;
    this.#due = undefined;
    return this.#ports.faults() ? due.death : undefined;
  }

  #come(death: Death): void {
    const { random, take } = this.#ports;
    if (death === "handover" || random.chance(0.2)) take(death);
    else this.#due = { death, atHome: random.chance(0.7) };
  }

  #at(front: number, ms: number, act: () => void): void {
    this.#ports.clock.after(ms, () => {
      if (front === this.#fronts && this.#ports.faults()) act();
    });
  }
}
