import { explore } from "./choices.ts";
import { explained } from "./explained.ts";
import { type Loss, type Outcome, recover } from "./play.ts";
import { Sectors } from "./sectors.ts";
import type { Build } from "./setting.ts";
import type { HomeRest, Remnant } from "./small-home.ts";

/** All that may come of a loss. */
export interface Aftermath {
  /** How many rests of the home there are. */
  readonly rests: number;
  /** All that differ. */
  readonly recovered: readonly Recovered[];
}

export interface Recovered {
  readonly outcome: Outcome;
  /** The first way to it, for people. */
  readonly how: string;
}

/** More than this is not worth its memory. */
const LIMIT = 300_000;

/**
 * Recovers from each rest of a home once. What comes of it follows from the rest and the epoch alone: see {@link recover}. The keys spell
 * these out, so that different ones are never taken for the same.
 */
export class Recoveries {
  readonly build: Build;
  /** Keys are made of their numbers: one table for all homes. */
  readonly sectors = new Sectors();
  /** How often a front was raised after a loss. */
  plays = 0;
  readonly #ofLosses = new Map<string, Aftermath>();
  readonly #ofRests = new Map<string, readonly Recovered[]>();

  constructor(build: Build) {
    this.build = build;
  }

  /** Different rests that were recovered from. */
  get rests(): number {
    return this.#ofRests.size;
  }

  get isFull(): boolean {
    return this.#ofLosses.size + this.#ofRests.size > LIMIT;
  }

  after({ home, epoch }: Loss): Aftermath {
    const key = `${epoch} ${home.key}`;
    let aftermath = this.#ofLosses.get(key);
    if (aftermath === undefined) {
      aftermath = this.#enumerate(home, epoch);
      this.#ofLosses.set(key, aftermath);
    }
    return aftermath;
  }

  #enumerate(home: Remnant, epoch: number): Aftermath {
    const different = new Map<string, Recovered>();
    const rests = explore((choices) => {
      const rest = home.rest((of) => choices.choose(of));
      const key = `${epoch} ${rest.key}`;
      let recovered = this.#ofRests.get(key);
      if (recovered === undefined) {
        recovered = this.#recover(rest, epoch, `rest ${choices}`);
        this.#ofRests.set(key, recovered);
      }
      for (const one of recovered) different.set(JSON.stringify(one.outcome), one);
    });
    return { rests, recovered: [...different.values()] };
  }

  #recover(rest: HomeRest, epoch: number, where: string): readonly Recovered[] {
    const different = new Map<string, Recovered>();
    this.plays += explore((choices) => {
      try {
        const outcome = recover(this.build, rest.home(), epoch, (of) => choices.choose(of));
        different.set(JSON.stringify(outcome), { outcome, how: `${where}, then ${choices}` });
      } catch (error) {
        throw explained(`${where}, then ${choices}`, error);
      }
    });
    return [...different.values()];
  }
}
