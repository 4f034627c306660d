import { strict as assert } from "node:assert";
import { checksum } from "../../shadow/checksum.ts";
import type { KnownStore } from "../../shadow/home.ts";
import type { Cells } from "./cells.ts";
import { damaged, LIVE, STORE_BYTES, STORES } from "./format.ts";

const CHECKSUM = 4;
const SEQUENCE = 8;
const LENGTH = 16;
const JSON_TEXT = 20;

/**
 * The two places of a ledger where the known store stands. They are written in turn, so that the one before is there while a
 * newer one is being written.
 */
export class Stores {
  readonly #cells: Cells;
  #sequence = 0;

  constructor(cells: Cells) {
    this.#cells = cells;
  }

  write(store: KnownStore): void {
    const json = Buffer.from(JSON.stringify(store));
    assert(json.byteLength <= STORE_BYTES - JSON_TEXT, "what is known of the store is too long to be kept");
    const sequence = ++this.#sequence;
    const at = place(sequence % 2);
    const cells = this.#cells;
    cells.commit(at, 0);
    cells.setNumber(at + SEQUENCE, sequence);
    cells.setWord(at + LENGTH, json.byteLength);
    cells.setBytes(at + JSON_TEXT, json);
    cells.setWord(at + CHECKSUM, this.#checksum(at, json.byteLength));
    cells.commit(at, LIVE);
  }

  /** The newest one; `undefined` if there is none. Goes on where it ends. Throws a {@link SkinkError} if one is damaged. */
  read(): KnownStore | undefined {
    let newest: number | undefined;
    for (const at of [place(0), place(1)]) {
      if (!this.#isThere(at)) continue;
      const sequence = this.#cells.number(at + SEQUENCE);
      if (sequence < this.#sequence) continue;
      this.#sequence = sequence;
      newest = at;
    }
    if (newest === undefined) return undefined;
    const from = newest + JSON_TEXT;
    const json = this.#cells.bytes.subarray(from, from + this.#cells.word(newest + LENGTH));
    return JSON.parse(Buffer.from(json).toString()) as KnownStore;
  }

  #isThere(at: number): boolean {
    const commit = this.#cells.word(at);
    if (commit === 0) return false;
    const length = this.#cells.word(at + LENGTH);
    const fits = length > 0 && length <= STORE_BYTES - JSON_TEXT;
    if (commit !== LIVE || !fits || this.#checksum(at, length) !== this.#cells.word(at + CHECKSUM))
      throw damaged("what the ledger says of the store is not what was written");
    return true;
  }

  #checksum(at: number, length: number): number {
    return checksum(this.#cells.bytes.subarray(at + SEQUENCE, at + JSON_TEXT + length)) | 0;
  }
}

function place(index: number): number {
  return STORES + index * STORE_BYTES;
}
