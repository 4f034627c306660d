import { type Choices, explore } from "./choices.ts";
import { explained } from "./explained.ts";
import type { Allowed } from "./ledger.ts";
import { type Play, playDriverDeath, playToLosses } from "./play.ts";
import { Recoveries } from "./recoveries.ts";
import { describeScript, scriptAt, scriptCount } from "./scripts.ts";
import { type Build, describeSetting, type Setting } from "./setting.ts";
import type { Rests } from "./small-store.ts";
import { judge } from "./verdict.ts";

export interface Part {
  readonly setting: Setting;
  /** Steps of each script. */
  readonly length: number;
  /** The first script's number, and on to the next one by so many. */
  readonly from: number;
  readonly stride: number;
  /** The last one is before this. */
  readonly until: number;
}

export interface Survey {
  readonly scripts: number;
  /** States that a death has left, at whatever point, with whatever rest of the caches: all of them were judged. */
  readonly states: number;
  /** How often a world was lived through to judge them. */
  readonly plays: number;
  /** Of the first that broke a promise: one line. */
  readonly failure: string | undefined;
}

/** Plays scripts in each way that there is. What it has learnt of recoveries is of use for the next part. */
export class Surveyor {
  #recoveries: Recoveries | undefined;
  #states = 0;
  #plays = 0;

  /** Ends with the first that breaks a promise. */
  survey({ setting, length, from, stride, until }: Part): Survey {
    this.#states = 0;
    this.#plays = 0;
    let scripts = 0;
    for (let number = from; number < Math.min(until, scriptCount(length)); number += stride) {
      const script = scriptAt(length, number);
      // Nobody is offered what the driver hasn't.
      if (!setting.able && script.some(({ kind }) => kind === "trim")) continue;
      scripts++;
      const failure = this.#failureOf({ ...setting, script });
      if (failure !== undefined) return { scripts, states: this.#states, plays: this.#plays, failure };
    }
    return { scripts, states: this.#states, plays: this.#plays, failure: undefined };
  }

  #failureOf(play: Play): string | undefined {
    try {
      explore((choices) => {
        this.#plays++;
        try {
          if (play.death === "driver") this.#playDriverDeath(play, choices);
          else this.#playLosses(play, choices);
        } catch (error) {
          throw explained(`choices ${choices}`, error);
        }
      });
      return undefined;
    } catch (error) {
      return explained(`${describeSetting(play)}: ${describeScript(play.script)}`, error).message;
    }
  }

  #playDriverDeath(play: Play, choices: Choices): void {
    const { outcome, rests, promised } = playDriverDeath(play, (of) => choices.choose(of));
    this.#states += rests === undefined ? 1 : restsOf(rests);
    judge("P1", outcome, rests ?? [], promised.kept, unspecifiedOf(promised.kept));
  }

  #playLosses(play: Play, choices: Choices): void {
    const recoveries = this.#recoveriesOf(play);
    const before = recoveries.plays;
    const losses = playToLosses(play, (of) => choices.choose(of), recoveries.sectors);
    for (const [point, loss] of losses.entries()) {
      const { store, promised } = loss;
      const { kept, durable } = promised;
      const unspecified = unspecifiedOf(kept);
      try {
        const { rests, recovered } = recoveries.after(loss);
        this.#states += rests * restsOf(store);
        for (const { outcome, how } of recovered) {
          try {
            if (play.death === "power") judge("P9", outcome, store, durable, unspecified);
            else judge("P1", outcome, store, kept, unspecified);
          } catch (error) {
            throw explained(how, error);
          }
        }
      } catch (error) {
        throw explained(`point ${point}`, error);
      }
    }
    this.#plays += recoveries.plays - before;
  }

  #recoveriesOf({ home, able }: Build): Recoveries {
    const known = this.#recoveries;
    if (known !== undefined && !known.isFull && known.build.home === home && known.build.able === able) return known;
    this.#recoveries = new Recoveries({ home, able });
    return this.#recoveries;
  }
}

/** In how many ways a cache may have been written back. */
function restsOf(store: Rests<number>): number {
  return store.reduce((product, versions) => product * versions.length, 1);
}

function unspecifiedOf(kept: readonly Allowed[]): readonly boolean[] {
  return kept.map((allowed) => allowed === "anything");
}
