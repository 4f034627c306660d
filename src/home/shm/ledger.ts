import { strict as assert } from "node:assert";
import type { Piece } from "../../shadow/piece-map.ts";
import type { Cells } from "./cells.ts";
import { damaged, ENTRIES, ENTRY_BYTES, LIVE } from "./format.ts";

const SEQUENCE = 0;
const OFFSET = 8;
const LENGTH = 16;
const ADDRESS = 24;
const KIND = 32;
const CHECKSUM = 36;
const COMMIT = 40;

const KINDS = ["write", "zero", "trim"] as const;
const KIND_BITS = 0xff;
const MAY_TRIM = 0x100;

/** What an entry says: a put, or what is left of one. */
export interface Entry {
  /** Its place in the table. */
  readonly index: number;
  /** Of the put. Entries that have the same are parts of one piece, or stand for the same content. */
  readonly sequence: number;
  readonly offset: number;
  readonly length: number;
  readonly kind: Piece["kind"];
  readonly mayTrim: boolean;
  /** Of the data of a write; else 0. */
  readonly address: number;
}

/** The table of entries of a ledger, and which of them are free. Each call leaves it whole at every store. */
export class Ledger {
  readonly #cells: Cells;
  /** Free entries. The one freed last is taken first, which keeps the memory in use small and warm. */
  readonly #free: Int32Array;
  #freeCount = 0;

  /** Looks for the entries that are free. */
  constructor(cells: Cells, entries: number) {
    this.#cells = cells;
    this.#free = new Int32Array(entries);
    for (let index = entries - 1; index >= 0; index--)
      if (cells.word(place(index) + COMMIT) === 0) this.#free[this.#freeCount++] = index;
  }

  /** Entries that are taken. */
  get used(): number {
    return this.#free.length - this.#freeCount;
  }

  /** The entries, in no order. Throws a {@link SkinkError} if one is damaged. */
  read(): Entry[] {
    const entries: Entry[] = [];
    for (let index = 0; index < this.#free.length; index++) {
      if (this.#cells.word(place(index) + COMMIT) !== 0) entries.push(this.#read(index));
    }
    return entries;
  }

  /** Returns the place of the new entry. */
  write(
    sequence: number,
    { offset, length, kind, mayTrim }: Omit<Entry, "index" | "sequence" | "address">,
    address: number,
  ): number {
    assert(this.#freeCount > 0, "the ledger is full");
    const index = this.#free[--this.#freeCount] as number;
    const cells = this.#cells;
    const at = place(index);
    cells.setNumber(at + SEQUENCE, sequence);
    cells.setNumber(at + OFFSET, offset);
    cells.setNumber(at + LENGTH, length);
    cells.setNumber(at + ADDRESS, address);
    cells.setWord(at + KIND, KINDS.indexOf(kind) | (mayTrim ? MAY_TRIM : 0));
    cells.setWord(at + CHECKSUM, this.#checksum(index));
    cells.commit(at + COMMIT, LIVE);
    return index;
  }

  sequenceOf(index: number): number {
    return this.#cells.number(place(index) + SEQUENCE);
  }

  /** Frees an entry. */
  clear(index: number): void {
    const at = place(index) + COMMIT;
    assert(this.#cells.word(at) === LIVE, "an entry of the ledger was freed twice");
    this.#cells.commit(at, 0);
    this.#free[this.#freeCount++] = index;
  }

  #read(index: number): Entry {
    const cells = this.#cells;
    const at = place(index);
    const code = cells.word(at + KIND);
    const kind = KINDS[code & KIND_BITS];
    const isWhole = cells.word(at + COMMIT) === LIVE && cells.word(at + CHECKSUM) === this.#checksum(index);
    if (!isWhole || kind === undefined) throw damaged(`entry ${index} of the ledger is not what was written`);
    return {
      index,
      sequence: cells.number(at + SEQUENCE),
      offset: cells.number(at + OFFSET),
      length: cells.number(at + LENGTH),
      kind,
      mayTrim: (code & MAY_TRIM) !== 0,
      address: cells.number(at + ADDRESS),
    };
  }

  /** Mixes in one word after the other, each step reversible: so a change of one word always shows. */
  #checksum(index: number): number {
    const at = place(index);
    let mixed = index;
    for (let word = at; word < at + CHECKSUM; word += 4) {
      mixed = Math.imul(mixed ^ this.#cells.word(word), 0x9e37_79b1);
      mixed ^= mixed >>> 15;
    }
    return mixed;
  }
}

function place(index: number): number {
  return ENTRIES + index * ENTRY_BYTES;
}
