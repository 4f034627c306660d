import { SECTORS } from "./scripts.ts";

interface Version {
  readonly id: number;
  /** The driver has reported it: the next flush has to make it durable. */
  completed: boolean;
}

/** Of each sector, which of its versions a flush makes durable at least. */
export type FlushMark = readonly (Version | undefined)[];

/**
 * A disk with a volatile cache that does no more than it must, and whose cache may have written back anything. Contents are ids of
 * content.ts.
 */
export class SmallStore {
  /** Of each sector the durable version, then those written since, oldest first: any one of them may be what a death leaves. */
  readonly #sectors: Version[][] = Array.from({ length: SECTORS }, () => [{ id: 0, completed: true }]);

  read(sector: number): number {
    return (this.#versions(sector).at(-1) as Version).id;
  }

  write(sector: number, id: number): void {
    this.#versions(sector).push({ id, completed: false });
  }

  writeDurably(sector: number, id: number): void {
    this.#sectors[sector] = [{ id, completed: true }];
  }

  /** The driver reports what it has written there. */
  complete(sector: number): void {
    for (const version of this.#versions(sector)) version.completed = true;
  }

  /** A flush is submitted. */
  markFlush(): FlushMark {
    return this.#sectors.map((versions) => versions.findLast(({ completed }) => completed));
  }

  flush(mark: FlushMark): void {
    mark.forEach((version, sector) => {
      const versions = this.#versions(sector);
      const at = version === undefined ? -1 : versions.indexOf(version);
      if (at > 0) versions.splice(0, at);
    });
  }

  /** The driver dies, or the power does. */
  loseCache(choose: (of: number) => number): void {
    for (let sector = 0; sector < SECTORS; sector++) {
      const versions = this.#versions(sector);
      const { id } = versions[choose(versions.length)] as Version;
      this.#sectors[sector] = [{ id, completed: true }];
    }
  }

  #versions(sector: number): Version[] {
    return this.#sectors[sector] as Version[];
  }
}
