import { SkinkError } from "../../block/errors.ts";
import { MIN_BLOCK_SIZE } from "../../block/geometry.ts";
import { MAX_SLOT_BYTES, type Memory, type Payload, slotBytes } from "../../block/memory.ts";
import type { RemainingPiece, Remains } from "../../shadow/home.ts";
import { type Piece, PieceMap } from "../../shadow/piece-map.ts";
import { newPiece } from "../../shadow/shadow.ts";
import { areaBytes, byteOf, idText, ORIGIN, SECTOR_BYTES } from "./format.ts";
import type { LogHeader } from "./header.ts";
import type { DecodedRecord } from "./record.ts";
import { Records } from "./records.ts";
import { examine, type LogReader } from "./recovery.ts";

/** Slots come in classes, each so many times larger than the one before. */
const SLOT_CLASS_RATIO = 4;

/** A log, and a front's turn at it: see {@link LogHeader.run}. */
export interface LogRun {
  /** Hexadecimal. */
  readonly id: string;
  readonly run: number;
}

/** What a front needs to go on with a log. */
export interface TakenUp {
  /** The newest one; `undefined` in a log where nothing was ever written. */
  readonly header: LogHeader | undefined;
  /** Their pieces are awaited. */
  readonly records: Records;
  readonly remains: Remains;
  /** The oldest run that some of these pieces are of; undefined if there are none. */
  readonly oldest: LogRun | undefined;
  /** Of this front: greater than all that are known of, those that could not be written into the log too. */
  readonly run: number;
}

/**
 * Examines the log and reads what still counts into `memory`; changes nothing in it. Throws `log-damaged`, also where it is no log or
 * a later version's; `log-too-full` where the memory has no room for what is in it. `spent`: the records of this run, and of those
 * before, don't count, since the store has all of that, and perhaps newer; their log could not say so any more.
 */
export function takeUp(
  path: string,
  reader: LogReader,
  memory: Memory,
  newBytes = reader.size,
  spent: readonly LogRun[] = [],
): TakenUp {
  const found = examine(reader, newBytes);
  if (found.damage !== undefined)
    throw new SkinkError(
      "log-damaged",
      `Cannot take up the log ${path}: ${found.damage}; "skink log inspect ${path}" shows what stands in it`,
    );
  const { header } = found;
  const id = idText(header?.id ?? new Uint8Array());
  const spentRun = Math.max(0, ...spent.filter((marked) => marked.id === id).map(({ run }) => run));
  const records = new Records(header?.tail ?? ORIGIN);
  const area = areaBytes(header?.size ?? newBytes);
  for (const { place, kind, dataBytes, checksum } of found.records) {
    const bytes = kind === "wrap" ? area - (place.position % area) : SECTOR_BYTES + dataBytes;
    records.append(bytes, checksum, place.run);
  }
  const counting = found.records.filter(({ place }) => place.run > spentRun);
  const pieces = [...whatCounts(counting, area)];
  const remaining = pack(path, reader, memory, pieces, header?.store?.geometry.blockSize ?? MIN_BLOCK_SIZE);
  for (const { note } of remaining) records.expect(note);
  const first = remaining.reduce((least, { note }) => Math.min(least, note), Number.POSITIVE_INFINITY);
  const oldest = counting.find(({ place }) => place.sequence === first);
  return {
    header,
    records,
    remains: { store: header?.store, pieces: remaining },
    oldest: oldest === undefined ? undefined : { id, run: oldest.place.run },
    run: Math.max(header?.run ?? 0, spentRun) + 1,
  };
}

/** The newest record counts where several overlap. `start` of a write is where its data is, as a byte of the file. */
export function whatCounts(found: readonly DecodedRecord[], area: number): PieceMap {
  const map = new PieceMap();
  for (const { kind, offset, length, mayTrim, place } of found) {
    if (kind === "wrap") continue;
    map.cut(offset, length, ignore, ignore);
    const start = kind === "write" ? byteOf(place.position, area) + SECTOR_BYTES : 0;
    map.insert(newPiece({ offset, length, kind, mayTrim, payload: undefined, start, note: place.sequence }));
  }
  return map;
}

/**
 * Reads the data of `pieces` into as few slots as it takes, one behind the other: what was let go of may be here again, and must
 * still fit. A piece that passes the end of a slot is divided, between two blocks.
 */
function pack(
  path: string,
  reader: LogReader,
  memory: Memory,
  pieces: readonly Piece[],
  blockSize: number,
): RemainingPiece[] {
  const packed: RemainingPiece[] = [];
  let left = 0;
  for (const { kind, length } of pieces) if (kind === "write") left += length;
  let payload: Payload | undefined;
  let filled = 0;
  for (const { offset, length, kind, mayTrim, start, note } of pieces) {
    if (kind !== "write") {
      packed.push({ offset, length, kind, mayTrim, payload: undefined, start: 0, note });
      continue;
    }
    for (let done = 0; done < length; ) {
      let room = payload === undefined ? 0 : wholeBlocks(payload.length - filled, blockSize);
      if (payload === undefined || room === 0) {
        payload = allocateUpTo(memory, Math.min(left, MAX_SLOT_BYTES), blockSize);
        if (payload === undefined) throw tooFull(path, memory, packed, left);
        filled = 0;
        room = wholeBlocks(payload.length, blockSize);
      } else payload.references++;
      const bytes = Math.min(room, length - done);
      slotBytes(payload, filled, bytes).set(reader.read(start + done, bytes));
      packed.push({ offset: offset + done, length: bytes, kind, mayTrim, payload, start: filled, note });
      filled += bytes;
      done += bytes;
      left -= bytes;
    }
  }
  return packed;
}

/** The largest there is; at least a block. */
function allocateUpTo(memory: Memory, wanted: number, blockSize: number): Payload | undefined {
  for (let bytes = wanted, smaller = MAX_SLOT_BYTES; bytes >= blockSize; bytes = smaller) {
    const payload = memory.allocate(bytes);
    if (payload !== undefined) return payload;
    while (smaller >= bytes) smaller /= SLOT_CLASS_RATIO;
  }
  return undefined;
}

function tooFull(path: string, memory: Memory, packed: readonly RemainingPiece[], left: number): SkinkError {
  for (const { payload } of packed) if (payload !== undefined) memory.release(payload);
  return new SkinkError(
    "log-too-full",
    `Cannot take up the log ${path}: the memory of writes, ${memory.limitBytes} bytes, has no room for ${left} more bytes of it, a larger one was wanted`,
  );
}

function wholeBlocks(bytes: number, blockSize: number): number {
  return bytes - (bytes % blockSize);
}

const ignore = (): void => {};
