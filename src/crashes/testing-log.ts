import { writeFileSync } from "node:fs";
import { encodeEntry, encodeSuper } from "../record/log-writes.ts";
import { historyOf, type Said } from "./testing-history.ts";

const SECTOR = 512;

/** Writes a log of these entries, with data as `sectorOf` has it. `sectorSize`: bytes, whole 512. */
export function writeLog(path: string, said: readonly Said[], sectorSize = SECTOR): void {
  const { entries } = historyOf(said, sectorSize);
  const parts: Buffer[] = [encodeSuper({ entries: entries.length, sectorSize })];
  for (const entry of entries) {
    const header = Buffer.alloc(sectorSize);
    encodeEntry({ ...entry, metadata: false }, sectorSize, header);
    parts.push(header);
    for (let at = 0; entry.hasData && at < entry.length; at += SECTOR) {
      parts.push(sectorOf(entry.index, (entry.offset + at) / SECTOR));
    }
  }
  writeFileSync(path, Buffer.concat(parts));
}

/** What a change writes to a sector: its first byte tells the change, and is never zero. */
export function sectorOf(index: number, sector: number): Buffer {
  const bytes = Buffer.alloc(SECTOR, 1 + (index % 255));
  bytes.writeUInt32LE(sector, 4);
  return bytes;
}
