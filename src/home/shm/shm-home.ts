import { strict as assert } from "node:assert";
import { type KeptMemory, MAX_SLOT_BYTES } from "../../block/memory.ts";
import type { Home, KnownStore, Remains } from "../../shadow/home.ts";
import type { Piece } from "../../shadow/piece-map.ts";
import type { Cells } from "./cells.ts";
import { ENTRIES, ENTRY_BYTES, mismatched } from "./format.ts";
import { readHeader, writeHeader } from "./header.ts";
import { Ledger } from "./ledger.ts";
import { Stores } from "./stores.ts";
import { readPieces, tidy } from "./take-up.ts";

/**
 * Entries beyond the pieces that a shadow may hold. A cut takes two new ones before it frees the old one; nothing else takes any
 * that admission hasn't counted. The others cost a page, and running out would be the front's end.
 */
const SPARE_ENTRIES = 64;

/** Bytes of the ledger of a device whose shadow may hold so many pieces. */
export function ledgerBytes(pieces: number): number {
  return ENTRIES + (pieces + SPARE_ENTRIES) * ENTRY_BYTES;
}

/** Begins a ledger. `cells`: {@link ledgerBytes} of zeroes. */
export function createShmHome(cells: Cells, memory: Pick<KeptMemory, "shape">, pieces: number): Home {
  const entries = pieces + SPARE_ENTRIES;
  writeHeader(cells, { entries, shape: memory.shape });
  return new ShmHome(new Ledger(cells, entries), new Stores(cells), 0);
}

/**
 * Takes up the ledger that a dead front has left, and the memory that goes with it. `pieces`: how many the shadow may hold.
 * Throws a {@link SkinkError} and changes nothing of the ledger: `ledger-damaged`; `ledger-mismatch`, if it is of another version
 * or of a front with other limits.
 *
 * No slot may be filled before the hosts of the dead front are gone: they still read what it had them write.
 */
export function takeUpShmHome(cells: Cells, memory: KeptMemory, pieces: number): { home: Home; remains: Remains } {
  const entries = checkShmHome(cells, memory, pieces);
  const ledger = new Ledger(cells, entries);
  const stores = new Stores(cells);
  const store = stores.read();
  const found = readPieces(ledger, memory, store);
  tidy(ledger, found);
  return { home: new ShmHome(ledger, stores, found.sequence), remains: { store, pieces: found.pieces } };
}

/**
 * Whether `takeUpShmHome` may be called once the other front has gone: it changes nothing, and looks at what doesn't change. Throws
 * like that, and returns how many entries there are.
 */
export function checkShmHome(cells: Cells, memory: Pick<KeptMemory, "shape">, pieces: number): number {
  const { entries, shape } = readHeader(cells);
  if (shape !== memory.shape)
    throw mismatched(`its data lies in memory of ${shape} bytes, ${memory.shape} are wanted by the limits of now`);
  if (entries < pieces + SPARE_ENTRIES)
    throw mismatched(`the ledger is for ${entries - SPARE_ENTRIES} pieces, ${pieces} are wanted by the limits of now`);
  return entries;
}

/**
 * The shadow's home in shared memory that outlives the front. The data of the pieces is in the memory of writes already; so all
 * that is kept here is the ledger, which says what is where. No call waits for anything, or enters the kernel.
 */
class ShmHome implements Home {
  readonly durable = false;
  readonly immediate = true;
  /** The ledger has room for as many pieces as the shadow may hold. */
  readonly fullness = 0;
  readonly #ledger: Ledger;
  readonly #stores: Stores;
  #sequence: number;

  constructor(ledger: Ledger, stores: Stores, sequence: number) {
    this.#ledger = ledger;
    this.#stores = stores;
    this.#sequence = sequence;
  }

  observe(): void {}

  admit(): boolean {
    return true;
  }

  leave(): void {}

  put(piece: Piece): void {
    piece.note = this.#ledger.write(++this.#sequence, piece, addressOf(piece));
  }

  cut(piece: Piece, rest: Piece | undefined): void {
    const ledger = this.#ledger;
    const whole = piece.note;
    const sequence = ledger.sequenceOf(whole);
    // A front that dies in between leaves both behind: they say the same.
    piece.note = ledger.write(sequence, piece, addressOf(piece));
    if (rest !== undefined) rest.note = ledger.write(sequence, rest, addressOf(rest));
    ledger.clear(whole);
  }

  drop(piece: Piece): void {
    this.#ledger.clear(piece.note);
  }

  released(): void {}

  kept(done: (failed: boolean) => void): void {
    done(false);
  }

  sync(): never {
    assert.fail("shared memory is not durable");
  }

  remember(store: KnownStore): void {
    this.#stores.write(store);
  }
}

function addressOf({ payload, start, length }: Piece): number {
  if (payload === undefined) return 0;
  const slot = payload.slots[Math.floor(start / MAX_SLOT_BYTES)];
  const from = start % MAX_SLOT_BYTES;
  assert(slot !== undefined && from + length <= slot.bytes.byteLength, "a piece doesn't lie in one slot");
  return slot.address + from;
}
