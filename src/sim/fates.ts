import type { SeededRandom } from "../block/random.ts";

/** What may go wrong in a world, or be done to it, by chance; what clients do is theirs (see program.ts). */
export const FAULTS = [
  "crash",
  "crash in open",
  "open fails",
  "open hangs",
  "refused write",
  "failed read",
  "failed flush",
  "invalid completion",
  "hang",
  "strain",
  "excess",
  "lie about a read",
  "lie about a write",
  "death of a front",
  "failure of the log",
  "act of the operator",
  "upgrade",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Which ones come true: of the times that each might have, counted from 1. */
export type FaultList = { readonly [Name in Fault]?: readonly number[] };

/**
 * Decides what goes wrong. By chance, or as a list says: the list of what came true in a world makes the same world again, since
 * chances are drawn all the same.
 */
export class Fates {
  readonly #only: ReadonlyMap<Fault, ReadonlySet<number>> | undefined;
  readonly #asked = new Map<Fault, number>();
  readonly #struck = new Map<Fault, number[]>();

  constructor(only?: FaultList) {
    this.#only =
      only === undefined ? undefined : new Map(FAULTS.map((fault) => [fault, new Set(only[fault] ?? [])] as const));
  }

  /** Whether it comes true this time. */
  strikes(fault: Fault, random: SeededRandom, chance: number): boolean {
    return this.#decide(fault, random.chance(chance));
  }

  /** The same of what was planned: it comes true unless there is a list without it. */
  comes(fault: Fault): boolean {
    return this.#decide(fault, true);
  }

  /** What has come true so far. */
  get list(): FaultList {
    return Object.fromEntries(this.#struck);
  }

  #decide(fault: Fault, drawn: boolean): boolean {
    const time = (this.#asked.get(fault) ?? 0) + 1;
    this.#asked.set(fault, time);
    const comes = this.#only === undefined ? drawn : this.#only.get(fault)?.has(time) === true;
    if (!comes) return false;
    const struck = this.#struck.get(fault);
    if (struck === undefined) this.#struck.set(fault, [time]);
    else struck.push(time);
    return true;
  }
}
