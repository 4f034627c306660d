import type { KeptMemory } from "../../block/memory.ts";
import type { KnownStore, RemainingPiece } from "../../shadow/home.ts";
import { type Piece, PieceMap } from "../../shadow/piece-map.ts";
import { newPiece } from "../../shadow/shadow.ts";
import { damaged } from "./format.ts";
import type { Entry, Ledger } from "./ledger.ts";

/** What stands in a ledger. */
export interface Found {
  readonly entries: readonly Entry[];
  /** None overlaps another. `note`: the index of the entry that says so, perhaps of a larger piece. */
  readonly pieces: readonly RemainingPiece[];
  /** Of the newest put. */
  readonly sequence: number;
}

/** Makes pieces of the entries of a ledger, and takes their data's slots. Throws a {@link SkinkError} if it is damaged. */
export function readPieces(ledger: Ledger, memory: KeptMemory, store: KnownStore | undefined): Found {
  const entries = ledger.read();
  if (entries.length > 0 && store === undefined)
    throw damaged("the ledger has pieces, and says nothing of their store");
  // In the order of puts, later ones over earlier ones. Of a cut that was interrupted, the whole comes last: it hasn't happened.
  entries.sort((a, b) => a.sequence - b.sequence || a.length - b.length);
  const map = new PieceMap();
  const nothing = (): void => {};
  for (const { index, offset, length, kind, mayTrim, address } of entries) {
    map.cut(offset, length, nothing, nothing);
    map.insert(newPiece({ offset, length, kind, mayTrim, payload: undefined, start: address, note: index }));
  }
  return { entries, pieces: withPayloads([...map], memory), sequence: entries.at(-1)?.sequence ?? 0 };
}

/**
 * Makes the ledger say the same with one entry for each piece, and gives each its note. What it says is the same at every store,
 * so that the front may die of this, too.
 */
export function tidy(ledger: Ledger, { entries, pieces }: Found): void {
  const byEntry = Map.groupBy(pieces, (piece) => piece.note);
  for (const { index } of entries) if (!byEntry.has(index)) ledger.clear(index);
  for (const { index, sequence, offset, length, address } of entries) {
    const parts = byEntry.get(index);
    if (parts === undefined || (parts.length === 1 && parts[0]?.length === length)) continue;
    for (const part of parts) {
      const at = part.kind === "write" ? address + (part.offset - offset) : 0;
      part.note = ledger.write(sequence, part, at);
    }
    ledger.clear(index);
  }
}

/** `pieces`: `start` of a write is the address of its data. */
function withPayloads(pieces: readonly Piece[], memory: KeptMemory): RemainingPiece[] {
  const writes = pieces.filter(({ kind }) => kind === "write");
  const payloads = memory.adopt(writes.map(({ start, length }) => ({ address: start, length })));
  const others = pieces.filter(({ kind }) => kind !== "write").map((piece) => newPiece({ ...piece, start: 0 }));
  const found = writes.map((piece, i) => {
    const { note, start: address } = piece;
    const payload = payloads[i];
    const slot = payload?.slots[0];
    if (slot === undefined) throw damaged(`entry ${note} of the ledger has its data outside of the memory of writes`);
    return newPiece({ ...piece, payload, start: address - slot.address });
  });
  return [...found, ...others];
}
