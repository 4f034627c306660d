import type { SeededRandom } from "../block/random.ts";
import { GARBAGE, ZEROES } from "./content.ts";
import type { Fates } from "./fates.ts";
import type { Entry, History } from "./history.ts";
import type { LiesProfile } from "./sickness.ts";

/** What has become of a write that is reported as done: the sectors of it that are written, and where garbage is now. */
export interface FalseWrite {
  readonly written: (sector: number) => boolean;
  readonly garbage: readonly number[];
}

/**
 * What the drivers of a world lie about: only sectors whose content can be known for certain, since about others nobody could
 * find them out.
 */
export class Lies {
  readonly #profile: LiesProfile;
  readonly #random: SeededRandom;
  readonly #fates: Fates;
  readonly #history: History;
  readonly #sectors: number;
  /** What reads of a sector find until it is written. */
  readonly #standing = new Map<number, number>();
  /** … or only once. */
  readonly #once = new Set<number>();
  /** Sectors that were lied about: when, and when they were rewritten since, in the history's order of events. */
  readonly #told = new Map<number, { readonly at: number; readonly until: number }>();

  constructor(profile: LiesProfile, random: SeededRandom, fates: Fates, history: History, sectors: number) {
    this.#profile = profile;
    this.#random = random;
    this.#fates = fates;
    this.#history = history;
    this.#sectors = sectors;
  }

  /** Chooses a sector of a read to lie about, if any. */
  aboutRead(first: number, count: number): void {
    const { read, standing } = this.#profile;
    if (!this.#fates.strikes("lie about a read", this.#random, read)) return;
    const sector = first + this.#random.below(count);
    const truth = this.#history.knowable(sector);
    if (truth === undefined) return;
    const lie = this.#random.pick([GARBAGE, ZEROES, this.#history.stale(sector)]);
    if (truth.includes(lie)) return;
    this.#tell(sector);
    this.#standing.set(sector, lie);
    if (!this.#random.chance(standing)) this.#once.add(sector);
  }

  /** What a read finds where the store holds `content`. */
  read(sector: number, content: number): number {
    const lie = this.#standing.get(sector);
    if (lie === undefined) return content;
    if (this.#once.delete(sector)) this.#standing.delete(sector);
    return lie;
  }

  /** What really becomes of a write. */
  aboutWrite(first: number, count: number): FalseWrite | undefined {
    if (!this.#fates.strikes("lie about a write", this.#random, this.#profile.write)) return undefined;
    const how = this.#random.pick(["lost", "torn", "misdirected"]);
    for (let sector = first; sector < first + count; sector++) this.#spoil(sector);
    if (how === "lost") return { written: () => false, garbage: [] };
    if (how === "torn") {
      const torn = first + this.#random.below(count);
      return { written: (sector) => sector < torn, garbage: [torn] };
    }
    const target = this.#random.below(this.#sectors);
    if (this.#history.knowable(target) === undefined) return { written: () => false, garbage: [] };
    this.#spoil(target);
    return { written: () => false, garbage: [target] };
  }

  /** A driver writes to the sector: no standing lie about it any more. */
  written(sector: number): void {
    this.#standing.delete(sector);
    this.#once.delete(sector);
  }

  /** The front that knew what there should be is dead: nobody could find out any more a lie that still stands. */
  frontDied(): void {
    this.#standing.clear();
    this.#once.clear();
  }

  /** A writer was acknowledged: what had stood there before it came is nobody's business any more. */
  acknowledged({ first, count, arrivedAt }: Entry): void {
    for (let sector = first; sector < first + count; sector++) {
      const told = this.#told.get(sector);
      if (told !== undefined && told.at < arrivedAt)
        this.#told.set(sector, { at: told.at, until: this.#history.events });
    }
  }

  /** A writer has failed: where nobody can tell any more what there should be, no lie stands. */
  failed({ first, count }: Entry): void {
    for (let sector = first; sector < first + count; sector++) {
      if (this.#history.knowable(sector) === undefined) this.written(sector);
    }
  }

  /** Whether a reader may get an error. */
  excuses({ kind, first, count, arrivedAt }: Entry): boolean {
    if (kind !== "read") return false;
    for (let sector = first; sector < first + count; sector++) {
      if ((this.#told.get(sector)?.until ?? 0) > arrivedAt) return true;
    }
    return false;
  }

  #spoil(sector: number): void {
    this.#tell(sector);
    this.#history.spoilt.add(sector);
  }

  #tell(sector: number): void {
    this.#told.set(sector, { at: this.#history.events, until: Number.POSITIVE_INFINITY });
  }
}
