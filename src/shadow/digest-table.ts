import { strict as assert } from "node:assert";
import type { Random } from "./ports.ts";

/** What an entry says of all blocks under it; anything from FIRST_PAGE on is a page, or a digest. */
export const UNKNOWN = 0;
/** As after a trim: whatever is read is right, and says nothing about the next read. */
export const UNSPECIFIED = 1;
export const ZEROES = 2;
/** A digest is at least this much, and so is the number of a page: the three below are taken for what is above. */
export const FIRST_DIGEST = 3;
const FIRST_PAGE = FIRST_DIGEST;

export type Uniform = typeof UNKNOWN | typeof UNSPECIFIED | typeof ZEROES;

/** Entries of a page: so many blocks have their digests side by side. */
export const PAGE_ENTRIES = 64;
/** From the root down to the leaves: 2⁴⁸ blocks, more than a device can have. */
const LEVELS = 8;
/** Blocks under one entry of a page at this level. A leaf's level is 0. */
const SPANS = Array.from({ length: LEVELS }, (_, level) => PAGE_ENTRIES ** level);
const TOP = LEVELS - 1;
const ROOT = FIRST_PAGE;
/** Pages that have to be free before a range is filled: it ends within a page of each level at both ends. */
const PAGES_FOR_A_RANGE = 2 * TOP;
/** Entries, the place of the parent, and the count of children. */
const PAGE_BYTES = PAGE_ENTRIES * Uint32Array.BYTES_PER_ELEMENT + Uint32Array.BYTES_PER_ELEMENT + 1;
/** In the place of a count of children. */
const FREE = 255;

/**
 * Block number → digest, in bounded memory. A page table, as a processor has one for its memory:
 *
 *   level 7         …        level 1               level 0
 *   ┌────────────┐           ┌────────────┐        ┌──────────────┐
 *   │ page ──────┼──▶ … ────▶│ page ──────┼───────▶│ digest       │
 *   │ UNKNOWN    │           │ ZEROES     │        │ UNSPECIFIED  │
 *   │ …          │           │ …          │        │ …            │
 *   └────────────┘           └────────────┘        └──────────────┘
 *
 * An entry of the upper levels is a page or a uniform value for all that is under it, so a range of any length costs at
 * most two pages a level. All pages are in one array, which takes memory from the system only as far as they are used.
 *
 * Where there is no free page, a random one without children is given up, and what it knew is unknown; or unspecified, if a
 * part of it was: else what is read of that part would be taken for what it has to be. Random, since
 * under a scan longer than the table any order of age would give up everything just before it is needed.
 */
export class DigestTable {
  /** An index that `find` or `make` returned is good until the next `make` or `fill`. */
  readonly entries: Uint32Array;
  /** Of a page in use: the index of the entry that refers to it. Of a free one: the next that is free, 0 at the end. */
  readonly #parents: Uint32Array;
  /** How many entries of a page are pages; FREE where it isn't in use. */
  readonly #children: Uint8Array;
  readonly #random: Random;
  readonly #end: number;
  /** From here to the end no page has been used yet. */
  #unused = ROOT + 1;
  #firstFree = 0;
  #free: number;

  constructor(limitBytes: number, random: Random) {
    this.#end = Math.floor(limitBytes / PAGE_BYTES);
    this.#random = random;
    this.#free = this.#end - this.#unused;
    assert(this.#free >= PAGES_FOR_A_RANGE, "a table of digests needs memory for a few pages");
    this.entries = new Uint32Array(this.#end * PAGE_ENTRIES);
    this.#parents = new Uint32Array(this.#end);
    this.#children = new Uint8Array(this.#end);
  }

  /** Bytes of the pages in use. */
  get usedBytes(): number {
    return (this.#end - ROOT - this.#free) * PAGE_BYTES;
  }

  /** The index of a block's entry in a leaf; −1 − value where there is no leaf, and the value is uniform. */
  find(block: number): number {
    let page = ROOT;
    let rest = block;
    for (let level = TOP; level > 0; level--) {
      const span = SPANS[level] as number;
      const slot = Math.floor(rest / span);
      rest -= slot * span;
      page = this.entries[page * PAGE_ENTRIES + slot] as number;
      if (page < FIRST_PAGE) return -1 - page;
    }
    return page * PAGE_ENTRIES + rest;
  }

  /** The same, for a block that is to have an entry: what is missing is made, and other pages are given up for it. */
  make(block: number): number {
    const found = this.find(block);
    if (found >= 0) return found;
    this.#reserve(TOP);
    let page = ROOT;
    let rest = block;
    for (let level = TOP; level > 0; level--) {
      const span = SPANS[level] as number;
      const slot = Math.floor(rest / span);
      rest -= slot * span;
      page = this.#descend(page * PAGE_ENTRIES + slot);
    }
    return page * PAGE_ENTRIES + rest;
  }

  /** Whether a page can be made out of memory that is free, and not because others were given up for a range. */
  get hasRoom(): boolean {
    return this.#free >= PAGES_FOR_A_RANGE + TOP;
  }

  /**
   * Sets a range of blocks. Takes time for two pages a level, and for the pages that become needless, each of which took
   * longer to be filled.
   */
  fill(first: number, count: number, value: Uniform): void {
    this.#reserve(PAGES_FOR_A_RANGE);
    this.#fill(ROOT, TOP, first, first + count, value);
  }

  /** Whether a digest other than `digest` is known in a range. Takes time for the pages in it, up to the first one. */
  holdsOther(digest: number, first: number, count: number): boolean {
    return this.#holdsOther(digest, ROOT, TOP, first, first + count);
  }

  // `from` and `until` are blocks from the beginning of the page on; they may lie outside it.

  #fill(page: number, level: number, from: number, until: number, value: Uniform): void {
    const span = SPANS[level] as number;
    const end = lastSlot(until, span);
    for (let slot = firstSlot(from, span); slot <= end; slot++) {
      const index = page * PAGE_ENTRIES + slot;
      const start = slot * span;
      const entry = this.entries[index] as number;
      if (level === 0) {
        this.entries[index] = value;
      } else if (from <= start && start + span <= until) {
        if (entry >= FIRST_PAGE) this.#giveUp(entry, level - 1);
        this.entries[index] = value;
      } else if (entry !== value) {
        this.#fill(this.#descend(index), level - 1, from - start, until - start, value);
      }
    }
  }

  #holdsOther(digest: number, page: number, level: number, from: number, until: number): boolean {
    const span = SPANS[level] as number;
    const end = lastSlot(until, span);
    for (let slot = firstSlot(from, span); slot <= end; slot++) {
      const entry = this.entries[page * PAGE_ENTRIES + slot] as number;
      if (entry < FIRST_PAGE) continue;
      const start = slot * span;
      if (level === 0 ? entry !== digest : this.#holdsOther(digest, entry, level - 1, from - start, until - start)) {
        return true;
      }
    }
    return false;
  }

  /** The page under an entry; a new one where the entry was uniform, and says the same at first. */
  #descend(index: number): number {
    const entry = this.entries[index] as number;
    if (entry >= FIRST_PAGE) return entry;
    const page = this.#take();
    this.entries.fill(entry, page * PAGE_ENTRIES, (page + 1) * PAGE_ENTRIES);
    this.entries[index] = page;
    this.#parents[page] = index;
    this.#countChild(index, 1);
    return page;
  }

  #take(): number {
    assert(this.#free > 0, "a page was reserved");
    this.#free--;
    const page = this.#firstFree === 0 ? this.#unused++ : this.#firstFree;
    if (page === this.#firstFree) this.#firstFree = this.#parents[page] as number;
    this.#children[page] = 0;
    return page;
  }

  /** Gives up a page and all under it. What its entry in the parent says is up to the caller. */
  #giveUp(page: number, level: number): void {
    if (level > 0) {
      for (let slot = 0; slot < PAGE_ENTRIES && this.#children[page] !== 0; slot++) {
        const entry = this.entries[page * PAGE_ENTRIES + slot] as number;
        if (entry >= FIRST_PAGE) this.#giveUp(entry, level - 1);
      }
    }
    this.#countChild(this.#parents[page] as number, -1);
    this.#children[page] = FREE;
    this.#parents[page] = this.#firstFree;
    this.#firstFree = page;
    this.#free++;
  }

  #countChild(index: number, change: 1 | -1): void {
    const page = Math.floor(index / PAGE_ENTRIES);
    this.#children[page] = (this.#children[page] as number) + change;
  }

  /** Sees to it that so many pages are free. It is done before a way down is begun, lest a page on the way be given up. */
  #reserve(pages: number): void {
    while (this.#free < pages) this.#evict();
  }

  #evict(): void {
    // Only few are free here, or none would have to be evicted: one in use is near. The root is never free.
    let page = ROOT + 1 + this.#random.below(this.#unused - ROOT - 1);
    while (this.#children[page] === FREE) page = page + 1 === this.#unused ? ROOT + 1 : page + 1;
    while (this.#children[page] !== 0) page = this.#anyChild(page);
    const unspecified = this.#entriesOf(page).includes(UNSPECIFIED);
    this.entries[this.#parents[page] as number] = unspecified ? UNSPECIFIED : UNKNOWN;
    this.#giveUp(page, 0);
  }

  #anyChild(page: number): number {
    const child = this.#entriesOf(page).find((entry) => entry >= FIRST_PAGE);
    assert(child !== undefined, "a page with children has a child");
    return child;
  }

  #entriesOf(page: number): Uint32Array {
    return this.entries.subarray(page * PAGE_ENTRIES, (page + 1) * PAGE_ENTRIES);
  }
}

function firstSlot(from: number, span: number): number {
  return from <= 0 ? 0 : Math.floor(from / span);
}

function lastSlot(until: number, span: number): number {
  return Math.min(PAGE_ENTRIES, Math.ceil(until / span)) - 1;
}
