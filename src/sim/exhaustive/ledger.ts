import { SECTORS, type Step } from "./scripts.ts";

interface Entry {
  readonly step: Step;
  /** What it writes: an id of content.ts. */
  readonly id: number;
  readonly arrivedAt: number;
  answeredAt: number;
}

const NEVER = Number.POSITIVE_INFINITY;

/** What may be found in a sector. */
export type Allowed = ReadonlySet<number> | "anything";

/** Of each sector. */
export interface Promised {
  readonly kept: readonly Allowed[];
  readonly durable: readonly Allowed[];
}

/** What a client has asked and been told, and what follows from that. Requests that overlap take effect in the order of arrival. */
export class Ledger {
  readonly #entries: Entry[] = [];
  #now = 0;

  arrives(step: Step, id: number): () => void {
    const entry = { step, id, arrivedAt: this.#now++, answeredAt: NEVER };
    this.#entries.push(entry);
    return () => {
      entry.answeredAt = this.#now++;
    };
  }

  /** P1: the newest acknowledged write of the sector, or a later one. */
  kept(sector: number): Allowed {
    return this.#since(sector, ({ answeredAt }) => answeredAt !== NEVER);
  }

  /** P9: the newest that a flush or FUA has made durable, or a later one. */
  durable(sector: number): Allowed {
    const flushes = this.#entries.filter(({ step, answeredAt }) => step.kind === "flush" && answeredAt !== NEVER);
    const flushedBefore = Math.max(-1, ...flushes.map(({ arrivedAt }) => arrivedAt));
    return this.#since(
      sector,
      ({ step, answeredAt }) => answeredAt < flushedBefore || (step.fua && answeredAt !== NEVER),
    );
  }

  /** Of all sectors. */
  get promised(): Promised {
    const sectors = Array.from({ length: SECTORS }, (_, sector) => sector);
    return {
      kept: sectors.map((sector) => this.kept(sector)),
      durable: sectors.map((sector) => this.durable(sector)),
    };
  }

  /** The last of the sector's writers that `holds`, or what was there before all of them, and every one since. */
  #since(sector: number, holds: (entry: Entry) => boolean): Allowed {
    const writers = this.#entries.filter(({ step: { first, count } }) => first <= sector && sector < first + count);
    const last = writers.findLastIndex(holds);
    const allowed = writers.slice(Math.max(0, last));
    if (allowed.some(({ step }) => step.kind === "trim")) return "anything";
    return new Set([...(last === -1 ? [0] : []), ...allowed.map(({ id }) => id)]);
  }
}
