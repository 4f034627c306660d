import { strict as assert } from "node:assert";
import { type Memory, type Payload, slotBytes } from "../../block/memory.ts";
import { checksum } from "../../shadow/checksum.ts";
import type { Piece } from "../../shadow/piece-map.ts";
import { SECTOR_BYTES } from "./format.ts";
import { encodeRecord, type RecordKind } from "./record.ts";
import type { LogRecord, Records } from "./records.ts";
import type { Room } from "./room.ts";

/** A record that is not written yet. */
interface Pending {
  readonly position: number;
  readonly sequence: number;
  /** What it attests. */
  readonly synced: number;
  readonly buffers: readonly Uint8Array[];
  readonly payload: Payload | undefined;
}

/** Records that are written together: they lie one behind the other. */
export interface Batch {
  readonly records: readonly Pending[];
  readonly position: number;
  readonly buffers: readonly Uint8Array[];
  /** The last one. */
  readonly last: Pending;
}

export interface AppenderPorts {
  readonly id: Uint8Array;
  readonly area: number;
  readonly run: number;
  readonly records: Records;
  readonly room: Room;
  readonly memory: Pick<Memory, "release">;
}

/** Makes records of pieces, at the head, and keeps them and the memory of their data until they are written. */
export class Appender {
  readonly #ports: AppenderPorts;
  #pending: Pending[] = [];

  constructor(ports: AppenderPorts) {
    this.#ports = ports;
  }

  get pending(): number {
    return this.#pending.length;
  }

  /** Behind a wrap, if there is no room for it up to the end of the area. Sets the piece's note. `synced`: what it attests. */
  append(piece: Piece, synced: number): void {
    const { area, records } = this.#ports;
    const { payload } = piece;
    const data = payload === undefined ? undefined : slotBytes(payload, piece.start, piece.length);
    const bytes = SECTOR_BYTES + (data?.length ?? 0);
    const rest = area - (records.head.position % area);
    if (bytes > rest) this.#record(WRAP, undefined, undefined, rest, synced);
    if (payload !== undefined) payload.references++;
    const record = this.#record(piece, payload, data, bytes, synced);
    records.add(record, piece);
    piece.note = record.sequence;
  }

  /** All that is pending, up to the end of the area: what comes behind that is the next write's. */
  take(): Batch | undefined {
    const first = this.#pending[0];
    if (first === undefined) return undefined;
    const { area } = this.#ports;
    const lapEnd = first.position - (first.position % area) + area;
    let count = 0;
    while ((this.#pending[count]?.position ?? lapEnd) < lapEnd) count++;
    const records = this.#pending.slice(0, count);
    this.#pending = this.#pending.slice(count);
    const buffers = records.flatMap((record) => record.buffers);
    return { records, position: first.position, buffers, last: records.at(-1) as Pending };
  }

  /** The batch is written, or never will be. True if memory was freed by that. */
  letGo({ records }: Pick<Batch, "records">): boolean {
    let freed = false;
    for (const { payload } of records) {
      if (payload === undefined) continue;
      freed ||= payload.references === 1;
      this.#ports.memory.release(payload);
    }
    return freed;
  }

  /** Nothing that is pending will be written. */
  giveUp(): void {
    this.letGo({ records: this.#pending });
    this.#pending = [];
  }

  #record(
    what: Pick<Piece, "mayTrim" | "offset" | "length"> & { readonly kind: RecordKind },
    payload: Payload | undefined,
    data: Uint8Array | undefined,
    bytes: number,
    synced: number,
  ): LogRecord {
    const { id, area, run, records, room } = this.#ports;
    const { kind, mayTrim, offset, length } = what;
    const place = { ...records.head, run };
    const dataBytes = data?.length ?? 0;
    const dataChecksum = data === undefined ? 0 : checksum(data);
    const encoded = encodeRecord({ id, place, synced, kind, mayTrim, offset, length, dataBytes, dataChecksum });
    const buffers = data === undefined ? [encoded.sector] : [encoded.sector, data];
    const { position, sequence } = place;
    this.#pending.push({ position, sequence, synced, buffers, payload });
    const record = records.append(bytes, encoded.checksum, run);
    assert(records.head.position - room.tail.position <= area, "the log has overrun its tail");
    return record;
  }
}

const WRAP = { kind: "wrap", mayTrim: false, offset: 0, length: 0 } as const;
