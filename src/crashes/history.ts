import { type LogEntry, OWN_MARK } from "../record/log-writes.ts";

/** What of a log's entry counts for a power cut. */
export type HistoryEntry = Omit<LogEntry, "metadata" | "dataPosition">;

/** What a log of writes tells. */
export interface History {
  /** Bytes: what offsets and lengths of entries are multiples of. */
  readonly sectorSize: number;
  /** In the order of the log, numbered from 0 on. */
  readonly entries: readonly HistoryEntry[];
}

/** Sectors, `from` ≤ n < `to`. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Whether it changes what the device holds: a write, a zero or a discard. */
export function isChange(entry: HistoryEntry): boolean {
  return entry.length > 0 && entry.mark === undefined;
}

/** Whether it is a mark of whoever was recorded. The recorder's own acknowledge nothing. */
export function isMark(entry: HistoryEntry): entry is HistoryEntry & { readonly mark: string } {
  return entry.mark !== undefined && !entry.mark.startsWith(OWN_MARK);
}

/** Where on the device a change is, in sectors. */
export function rangeOf({ sectorSize }: Pick<History, "sectorSize">, entry: HistoryEntry): Range {
  return { from: entry.offset / sectorSize, to: (entry.offset + entry.length) / sectorSize };
}
