import type { SeededRandom } from "../block/random.ts";

/** No content in this layer. */
const NONE = -2;

/** What a flush has to make durable: taken when the driver is handed it. */
export interface FlushOrder {
  readonly sectors: readonly number[];
  readonly contents: readonly number[];
  readonly versions: readonly number[];
}

/**
 * A disk with a volatile cache, sector by sector, by the ids of content.ts:
 *
 *   fresh    applied, not completed     lost when the driver dies
 *   done     completed                  lost when the driver dies; `dirty` until it was written back
 *   medium   durable                    survives everything
 *
 * A read sees the topmost layer that has the sector. Anything above the medium may be destaged at any time, in any order.
 */
export class Store {
  readonly sectors: number;
  readonly #random: SeededRandom;
  readonly #medium: Int32Array;
  readonly #done: Int32Array;
  readonly #fresh: Int32Array;
  readonly #version: Int32Array;
  readonly #dirty: Uint8Array;
  /** The version of what is on the medium: an older one never comes over it. */
  readonly #mediumVersion: Int32Array;

  constructor(sectors: number, random: SeededRandom) {
    this.sectors = sectors;
    this.#random = random;
    this.#medium = new Int32Array(sectors);
    this.#done = new Int32Array(sectors).fill(NONE);
    this.#fresh = new Int32Array(sectors).fill(NONE);
    this.#version = new Int32Array(sectors);
    this.#dirty = new Uint8Array(sectors);
    this.#mediumVersion = new Int32Array(sectors);
  }

  read(sector: number): number {
    const fresh = this.#fresh[sector] as number;
    if (fresh !== NONE) return fresh;
    const done = this.#done[sector] as number;
    return done !== NONE ? done : this.durable(sector);
  }

  durable(sector: number): number {
    return this.#medium[sector] as number;
  }

  /** Everything that the medium might hold if the power failed now, and the cache destaged part of itself. */
  afterPowerCut(sector: number): number[] {
    const contents = [this.durable(sector)];
    if (this.#done[sector] !== NONE && this.#dirty[sector] === 1) contents.push(this.#done[sector] as number);
    if (this.#fresh[sector] !== NONE) contents.push(this.#fresh[sector] as number);
    return contents;
  }

  /** A write reaches the cache. */
  apply(sector: number, content: number): void {
    this.#fresh[sector] = content;
  }

  /** A write reaches the medium, and what the cache had of the sector is void. */
  applyDurable(sector: number, content: number): void {
    this.#version[sector] = (this.#version[sector] as number) + 1;
    this.#harden(sector, content);
    this.#done[sector] = NONE;
    this.#fresh[sector] = NONE;
  }

  /** The write that had been applied to the sector has completed: the next flush covers it. */
  complete(sector: number): void {
    const fresh = this.#fresh[sector] as number;
    if (fresh === NONE) return;
    this.#done[sector] = fresh;
    this.#version[sector] = (this.#version[sector] as number) + 1;
    this.#dirty[sector] = 1;
    this.#fresh[sector] = NONE;
  }

  beginFlush(): FlushOrder {
    const sectors: number[] = [];
    const contents: number[] = [];
    const versions: number[] = [];
    for (let sector = 0; sector < this.sectors; sector++) {
      if (this.#done[sector] === NONE || this.#dirty[sector] === 0) continue;
      sectors.push(sector);
      contents.push(this.#done[sector] as number);
      versions.push(this.#version[sector] as number);
    }
    return { sectors, contents, versions };
  }

  /** What was completed when the flush came is durable; a sector rewritten since may go with it or stay behind. */
  finishFlush(order: FlushOrder): void {
    order.sectors.forEach((sector, i) => {
      if (this.#done[sector] === NONE || this.#dirty[sector] === 0) return;
      const version = order.versions[i] as number;
      const rewritten = this.#version[sector] !== version;
      if (!rewritten || this.#random.chance(0.5)) this.#destageDone(sector);
      else if (version > (this.#mediumVersion[sector] as number)) {
        this.#medium[sector] = order.contents[i] as number;
        this.#mediumVersion[sector] = version;
      }
    });
  }

  /**
   * The flush failed half way: some sectors are durable. "keep": the rest stays dirty. "forget": the rest counts as
   * clean, so that a later flush leaves it out, as kernels do; it is still there to be read until the driver dies,
   * or, once `evict` is called for it, not even that.
   */
  failFlush(order: FlushOrder, how: "keep" | "forget"): void {
    for (const sector of order.sectors) {
      if (this.#done[sector] === NONE || this.#dirty[sector] === 0) continue;
      if (this.#random.chance(0.3)) this.#destageDone(sector);
      else if (how === "forget") this.#dirty[sector] = 0;
    }
  }

  /** Drops what a failed flush left clean although it had never been written back. */
  evict(sector: number): void {
    if (this.#dirty[sector] === 0) this.#done[sector] = NONE;
  }

  /** The cache writes back one sector, unasked. */
  destage(sector: number): void {
    if (this.#fresh[sector] !== NONE && this.#random.chance(0.5)) {
      this.#version[sector] = (this.#version[sector] as number) + 1;
      this.#harden(sector, this.#fresh[sector] as number);
      this.#done[sector] = NONE;
      this.#fresh[sector] = NONE;
    } else if (this.#done[sector] !== NONE && this.#dirty[sector] === 1) {
      this.#destageDone(sector);
    }
  }

  /** The power fails: of what the cache had of a sector, one thing or the other was written back, or nothing. */
  powerFails(): void {
    for (let sector = 0; sector < this.sectors; sector++) {
      const fates = this.afterPowerCut(sector);
      this.#harden(sector, fates[this.#random.below(fates.length)] as number);
    }
    this.loseCache();
  }

  /** The driver dies, and its cache with it. */
  loseCache(): void {
    this.#done.fill(NONE);
    this.#fresh.fill(NONE);
  }

  #destageDone(sector: number): void {
    if (this.#dirty[sector] === 1) this.#harden(sector, this.#done[sector] as number);
    this.#done[sector] = NONE;
  }

  #harden(sector: number, content: number): void {
    this.#medium[sector] = content;
    this.#mediumVersion[sector] = this.#version[sector] as number;
  }
}
