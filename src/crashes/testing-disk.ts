import type { History } from "./history.ts";
import { nameOf } from "./testing-history.ts";
import { BASE } from "./write-index.ts";

/** A disk with a volatile cache, between two things that may happen to it. Sectors hold numbers of changes. */
interface DiskState {
  /** How many entries it has been sent. */
  readonly sent: number;
  readonly medium: readonly number[];
  readonly cache: readonly number[];
  /** For each flush under way: what the medium has to hold, or something newer, and how many may be sent before. */
  readonly flushes: readonly { readonly wanted: readonly number[]; readonly before: number }[];
  readonly mark: string;
}

/**
 * Everything that a power cut may leave of a log, "medium mark" each: found by doing all that such a disk may do, in every order. It is sent
 * the next entry, or it writes any one sector of its cache to the medium.
 */
export function reachable(history: History, sectors: number): Set<string> {
  const nothing = new Array<number>(sectors).fill(BASE);
  const found = new Set<string>();
  const seen = new Set<string>();
  const open: DiskState[] = [{ sent: 0, medium: nothing, cache: nothing, flushes: [], mark: "" }];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    const key = JSON.stringify(state);
    if (seen.has(key)) continue;
    seen.add(key);
    found.add(`${state.medium.map((entry) => nameOf(history, entry)).join("")} ${state.mark}`);
    const next = sendNext(history, state);
    if (next !== undefined) open.push(next);
    for (let sector = 0; sector < sectors; sector++)
      open.push({ ...state, medium: state.medium.with(sector, state.cache[sector] as number) });
  }
  return found;
}

/** `undefined` where something has to be answered before, and can't yet. */
function sendNext(history: History, state: DiskState): DiskState | undefined {
  const { sent, medium, cache } = state;
  const entry = history.entries[sent];
  const previous = history.entries[sent - 1];
  if (entry === undefined) return undefined;
  const holds = (wanted: readonly number[]): boolean =>
    wanted.every((number, sector) => (medium[sector] as number) >= number);
  const isClean = cache.every((number, sector) => number !== sent - 1 || medium[sector] === number);
  if (previous?.fua && !isClean) return undefined;
  const due = state.flushes.filter(({ before }) => before === sent);
  if (!due.every(({ wanted }) => holds(wanted))) return undefined;
  if (entry.flush && entry.length > 0 && !holds(cache)) return undefined;
  const first = entry.offset / history.sectorSize;
  const end = first + entry.length / history.sectorSize;
  return {
    sent: sent + 1,
    medium,
    cache: cache.map((number, sector) => (sector >= first && sector < end ? sent : number)),
    flushes: [
      ...state.flushes.filter((flush) => !due.includes(flush)),
      ...(entry.flush && entry.length === 0 ? [{ wanted: cache, before: entry.answeredAt }] : []),
    ],
    mark: entry.mark ?? state.mark,
  };
}
