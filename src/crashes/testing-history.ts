import type { History, HistoryEntry, Range } from "./history.ts";
import type { CrashState } from "./state.ts";
import { BASE, WriteIndex } from "./write-index.ts";

/** What a test says of an entry: sectors from and to, and what else is so. */
export interface Said extends Partial<Range> {
  readonly flush?: true;
  readonly fua?: true;
  readonly discard?: true;
  readonly mark?: string;
  /** Of a flush: how many later entries come before its answer. */
  readonly overtaken?: number;
}

export const FLUSH: Said = { flush: true };

export function write(from: number, to = from + 1): Said {
  return { from, to };
}

export function historyOf(said: readonly Said[], sectorSize = 512): History {
  const entries = said.map((what, index): HistoryEntry => {
    const { from = 0, to = from, flush = false, fua = false, discard = false, mark, overtaken = 0 } = what;
    return {
      index,
      offset: from * sectorSize,
      length: (to - from) * sectorSize,
      flush,
      fua,
      discard,
      mark,
      hasData: to > from && !discard,
      answeredAt: Math.min(index + 1 + overtaken, said.length),
    };
  });
  return { sectorSize, entries };
}

/** What each sector holds: the number of the change, "0" where that was a discard, "-" for what was there before. */
export function contentOf(
  history: History,
  state: CrashState,
  sectors: number,
  index = new WriteIndex(history),
): string {
  return index
    .sources(state, { from: 0, to: sectors })
    .map(({ entry, from, to }) => nameOf(history, entry).repeat(to - from))
    .join("");
}

export function nameOf({ entries }: History, entry: number): string {
  return entry === BASE ? "-" : entries[entry]?.discard ? "0" : `${entry}`;
}
