import { formatSize } from "../block/size.ts";
import type { LogWritesReader } from "./log-reader.ts";
import type { LogEntry } from "./log-writes.ts";

/** What a log is, and the names of the columns of {@link entryLine}. */
export function heading({ path, entries, sectorSize, deviceBytes }: LogWritesReader): string {
  const device = deviceBytes === undefined ? "" : `, of a device of ${formatSize(deviceBytes)}`;
  const columns = cells("ENTRY", "WHAT", "OFFSET", "LENGTH");
  return `${path}: ${entries.length} entries${device}, sectors of ${sectorSize} bytes\n${columns}`;
}

/** One entry, for people. */
export function entryLine(entry: LogEntry): string {
  const { index, offset, length, mark, answeredAt } = entry;
  const number = String(index);
  if (mark !== undefined) return `${cells(number, "mark")}${mark}`;
  const late = answeredAt > index + 1 ? `  answered before entry ${answeredAt}` : "";
  return (
    (length === 0
      ? cells(number, kindOf(entry))
      : cells(number, kindOf(entry), String(offset), String(length))
    ).trimEnd() + late
  );
}

/** "write", "write fua", "trim", "flush"; of a log of the kernel's also "flush write meta". */
function kindOf({ flush, fua, discard, metadata, length }: LogEntry): string {
  const change = discard ? "trim" : "write";
  return [flush && "flush", length > 0 && change, fua && "fua", metadata && "meta"].filter(Boolean).join(" ");
}

function cells(index: string, what: string, offset = "", length = ""): string {
  return `${index.padEnd(8)}  ${what.padEnd(10)}  ${offset === "" ? "" : `${offset.padEnd(14)}  ${length}`}`;
}
