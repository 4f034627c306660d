import { SkinkError } from "../block/errors.ts";
import { type History, type HistoryEntry, isChange, rangeOf } from "./history.ts";
import { type DiskManners, pointAt } from "./points.ts";
import { gaps, type Ranges, union } from "./ranges.ts";
import { type CrashState, entryAt, newState, presentOf } from "./state.ts";

/*
 * The name of a state says all of it:
 *
 *   17                  all that was sent before entry 17 is there
 *   17-12..14,16        without the changes from 12 to 14, whatever else is in between, and 16
 *   17-16/0..3/7        without the sectors 0 to 3 and 7 of change 16, counted from its start
 *   17+12               of those that may be missing, only change 12 is there
 *   17+                 none of them
 *
 * It has no character that a shell would take for its own.
 */
const SPAN = /\d+(?:\.\.\d+)?/.source;
const ITEM = `${SPAN}(?:/${SPAN})*`;
const NAME = new RegExp(`^(\\d+)(?:([-+])(${ITEM}(?:,${ITEM})*|(?<=\\+)))?$`);
/** So many entries are listed in an error. */
const MAX_SAID = 8;

/** `volatile`: what may be missing at the state's end (pointAt). The shorter one of its two names. */
export function nameOf(history: History, volatile: ArrayLike<number>, state: CrashState): string {
  const { end, missing } = state;
  if (missing.size === 0) return `${end}`;
  const present = Array.from(volatile, (index) => [index, presentOf(history, missing, index)] as const);
  const absent = `${end}-${listOf(history, [...missing])}`;
  const only = `${end}+${listOf(
    history,
    present.filter(([, ranges]) => ranges.length > 0),
  )}`;
  return only.length < absent.length ? only : absent;
}

/** Throws `bad-state` for a name that isn't one, and for a state that no power cut leaves. */
export function parseName(history: History, manners: DiskManners, name: string): CrashState {
  const [, endText = "", sign, list = ""] =
    NAME.exec(name) ?? bad(name, "it is no such name", "one as skink crashes prints");
  const end = Number(endText);
  const count = history.entries.length;
  if (end > count) bad(name, `the log has ${count} entries`, `a number up to ${count}`);
  const volatile = new Set(pointAt(history, manners, end).volatile);
  const named = parseList(history, list, name);
  for (const index of named.keys()) {
    if (!volatile.has(index)) bad(name, `entry ${index} can't be missing there`, said([...volatile]));
  }
  if (sign !== "+") return newState(end, named);
  return newState(
    end,
    [...volatile].map((index) => {
      return [index, gaps(named.get(index) ?? [], rangeOf(history, entryAt(history, index)))] as const;
    }),
  );
}

/** A run has all changes from its first to its last. */
function listOf(history: History, items: readonly (readonly [number, Ranges])[]): string {
  const parts: string[] = [];
  let run: { first: number; last: number } | undefined;
  const endRun = (): void => {
    if (run === undefined) return;
    parts.push(span(run.first, run.last));
    run = undefined;
  };
  for (const [index, ranges] of items) {
    const own = rangeOf(history, entryAt(history, index));
    if (ranges.length === 1 && ranges[0]?.from === own.from && ranges[0].to === own.to) {
      if (run !== undefined && nextChange(history, run.last) === index) run.last = index;
      else {
        endRun();
        run = { first: index, last: index };
      }
      continue;
    }
    endRun();
    const sectors = ranges.map(({ from, to }) => `/${span(from - own.from, to - own.from - 1)}`);
    parts.push(`${index}${sectors.join("")}`);
  }
  endRun();
  return parts.join(",");
}

function parseList(history: History, list: string, name: string): Map<number, Ranges> {
  const named = new Map<number, Ranges>();
  for (const item of list.split(",").filter((text) => text !== "")) {
    const [entries = "", ...parts] = item.split("/");
    const { first, last } = numbers(entries);
    if (last >= history.entries.length || first > last) bad(name, `there are no entries ${entries}`, "others");
    if (parts.length > 0 && first !== last) bad(name, `${item} has sectors of several entries`, "those of one");
    for (let index = first; index <= last; index++) {
      const entry = history.entries[index] as HistoryEntry;
      if (!isChange(entry)) {
        if (index !== first && index !== last) continue;
        bad(name, `entry ${index} is no change`, "a write, a zero or a discard");
      }
      const own = rangeOf(history, entry);
      const sectors = parts.map((part) => {
        const { first: from, last: to } = numbers(part);
        return { from: own.from + from, to: own.from + to + 1 };
      });
      if (sectors.some(({ from, to }) => from >= to || to > own.to)) {
        bad(name, `entry ${index} has ${own.to - own.from} sectors`, "some of these");
      }
      named.set(index, union([...(named.get(index) ?? []), ...(sectors.length === 0 ? [own] : sectors)]));
    }
  }
  return named;
}

function nextChange({ entries }: History, index: number): number {
  let next = index + 1;
  for (let entry = entries[next]; entry !== undefined && !isChange(entry); entry = entries[next]) next++;
  return next;
}

function span(first: number, last: number): string {
  return first === last ? `${first}` : `${first}..${last}`;
}

function numbers(text: string): { readonly first: number; readonly last: number } {
  const [first = "", last = first] = text.split("..");
  return { first: Number(first), last: Number(last) };
}

function said(indices: readonly number[]): string {
  if (indices.length === 0) return "a state that lacks nothing, or --lying-flushes,";
  return `one of ${indices.slice(0, MAX_SAID).join(", ")}${indices.length > MAX_SAID ? ", …" : ""}`;
}

function bad(name: string, what: string, wanted: string): never {
  const line = name.replace(/\p{Cc}/gu, "?");
  throw new SkinkError("bad-state", `Cannot use the state ${line}: ${what}, ${wanted} was wanted`);
}
