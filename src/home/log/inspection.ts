import type { KnownStore } from "../../shadow/home.ts";
import { END_CASES, type EndCase, HEADER_CASES, type HeaderCase, RECORD_CASES, type RecordCase } from "./cases.ts";
import { areaBytes, byteOf, HEADER_BYTES, idText, type LogPlace } from "./format.ts";
import type { LogHeader, SlotCase } from "./header.ts";
import type { RecordKind } from "./record.ts";
import { examine, type LogReader } from "./recovery.ts";
import { whatCounts } from "./take-up.ts";

/** What `skink log inspect --json` prints. Numbers are bytes or counts. */
export interface Inspection {
  readonly verdict: "good" | "damaged";
  readonly headerCase: HeaderCase;
  /** Where the records end, and why there. */
  readonly endsWith: RecordCase | undefined;
  readonly endCase: EndCase | undefined;
  /** One line: what was found, or why it must not be used. */
  readonly why: string;
  readonly size: number;
  readonly headers: readonly InspectedHeader[];
  readonly tail: InspectedPlace | undefined;
  readonly head: InspectedPlace | undefined;
  readonly records: readonly InspectedRecord[];
  readonly store: KnownStore | undefined;
}

export interface InspectedHeader {
  readonly byte: number;
  readonly slot: SlotCase;
  readonly counts: boolean;
  readonly sequence?: number;
  readonly id?: string;
  readonly size?: number;
  readonly run?: number;
  readonly pid?: number;
  readonly synced?: number;
}

export interface InspectedPlace {
  readonly position: number;
  readonly byte: number;
  readonly sequence: number;
}

export interface InspectedRecord {
  readonly sequence: number;
  readonly byte: number;
  readonly run: number;
  readonly kind: RecordKind;
  readonly offset: number;
  readonly length: number;
  /** Bytes of `length` that no later record covers. */
  readonly live: number;
}

/** Shows what stands in a log, and judges it as a front would that takes it up. Changes nothing. */
export function inspect(reader: LogReader): Inspection {
  const { headerCase, header, slots, records, end, endsWith, endCase, damage } = examine(reader);
  const area = areaBytes(header?.size ?? reader.size);
  const live = new Map<number, number>();
  for (const { note, length } of whatCounts(records, area)) live.set(note, (live.get(note) ?? 0) + length);
  const place = ({ position, sequence }: LogPlace) => ({ position, byte: byteOf(position, area), sequence });
  return {
    verdict: damage === undefined ? "good" : "damaged",
    headerCase,
    endsWith,
    endCase,
    why: damage ?? whyGood(headerCase, endsWith, endCase),
    size: header?.size ?? reader.size,
    headers: slots.map((slot, index) => inspectedHeader(index, slot.slot, slot.header, slot.header === header)),
    tail: header === undefined ? undefined : place(header.tail),
    head: header === undefined || endsWith === undefined ? undefined : place(end),
    records: records.map(({ place: { sequence, position, run }, kind, offset, length }) => {
      return { sequence, byte: byteOf(position, area), run, kind, offset, length, live: live.get(sequence) ?? 0 };
    }),
    store: header?.store,
  };
}

function inspectedHeader(
  index: number,
  slot: SlotCase,
  header: LogHeader | undefined,
  counts: boolean,
): InspectedHeader {
  const byte = index * HEADER_BYTES;
  if (header === undefined) return { byte, slot, counts: false };
  const { sequence, size, run, pid, synced } = header;
  return { byte, slot, counts, sequence, id: idText(header.id), size, run, pid, synced };
}

function whyGood(headerCase: HeaderCase, endsWith: RecordCase | undefined, endCase: EndCase | undefined): string {
  const ofHeader = HEADER_CASES[headerCase].means;
  if (endsWith === undefined || endCase === undefined) return ofHeader;
  return `${ofHeader}; what follows the last record ${RECORD_CASES[endsWith].means}, and ${END_CASES[endCase].means}`;
}
