import type { BriefFailure, CampaignResult, Failure } from "./campaign.ts";
import { type History, type HistoryEntry, isMark } from "./history.ts";
import type { CrashState } from "./state.ts";

/** Longer lists end with how many more there are. */
const MAX_LINES = 20;

export interface ReportContext {
  readonly history: History;
  readonly points: number;
  readonly planned: number;
  /** All states there are are among those planned. */
  readonly exhaustive: boolean;
  readonly seed: number;
  readonly seconds: number;
  /** The disk swallows flushes. */
  readonly lying: boolean;
  readonly nameOf: (planned: Failure["planned"]) => string;
  /** The command line that brings a state back, with these arguments more. */
  readonly again: (name: string, more: string) => string;
}

/** What is missing of a change, for machines. Bytes, from the start of the device. */
interface MissingReport {
  readonly entry: number;
  readonly kind: string;
  readonly offset: number;
  readonly length: number;
  /** The mark before it. */
  readonly mark: string | undefined;
  readonly missing: readonly { readonly offset: number; readonly length: number }[];
}

/** For people, some lines. */
export function textReport(result: CampaignResult, context: ReportContext): string {
  const { checked, failures, smallest } = result;
  const { points, planned, exhaustive, seed, seconds, lying } = context;
  const disk = lying ? ", of a disk that swallows flushes" : "";
  const choice = exhaustive ? "all there are" : `drawn by seed ${seed}`;
  const at = counted(points, "crash point");
  const tried = counted(checked, "state");
  const rate = `${seconds.toFixed(1)} s, ${(checked / Math.max(seconds, 0.001)).toFixed(1)} a second`;
  if (smallest === undefined) {
    return `passed: ${tried} of ${at} (${choice})${disk}; ${rate}`;
  }
  return [
    `FAILED: ${failures.length} of ${tried} so far, of ${planned} at ${at} (${choice})${disk}; ${rate}`,
    ...(failures.length > 1 ? limited(failures.map((failure) => `  ${failureLine(failure)}`)) : []),
    "",
    ...smallestLines(smallest, context),
  ].join("\n");
}

/** For machines. */
export function jsonReport(result: CampaignResult, context: ReportContext): object {
  const { history, points, planned, exhaustive, seed, seconds, lying } = context;
  const { checked, failures, smallest } = result;
  return {
    format: "skink-crashes-1",
    ...{ points, planned, exhaustive, seed, lying, seconds, checked },
    failures: failures.map(({ name, point, verdict }) => ({
      state: name,
      end: point.end,
      mark: point.mark,
      ...verdict,
    })),
    smallest:
      smallest === undefined
        ? undefined
        : {
            ...failureReport(smallest, context),
            isMinimal: smallest.isMinimal,
            entries: history.entries.length,
            again: context.again(context.nameOf(smallest.planned), "--check"),
          },
  };
}

/** What was found out about one state. */
export function failureReport(
  { planned, verdict }: Failure,
  { history, nameOf }: Pick<ReportContext, "history" | "nameOf">,
): object {
  const { point, state } = planned;
  return {
    state: nameOf(planned),
    end: state.end,
    mark: point.mark,
    missing: missingReports(history, state),
    ...verdict,
  };
}

function smallestLines(smallest: NonNullable<CampaignResult["smallest"]>, context: ReportContext): string[] {
  const { history, nameOf, again } = context;
  const { planned, verdict, isMinimal } = smallest;
  const { state, point } = planned;
  const name = nameOf(planned);
  const missing = missingReports(history, state).map((report) => `    ${missingLine(report)}`);
  return [
    `${isMinimal ? "the smallest state that fails" : "a small state that fails"}: ${name}`,
    `  the power is cut when ${state.end} of ${history.entries.length} entries have been sent, ${afterMark(point.mark)}`,
    ...(missing.length === 0
      ? ["  nothing is missing: the check fails on all that was written so far"]
      : ["  what has not reached the medium:", ...limited(missing)]),
    `  the check: ${verdict.how}`,
    ...outputLines(verdict.output),
    "see it again:",
    `  ${again(name, "--check")}`,
    `  ${again(name, "--serve")}`,
    `  ${again(name, "--write state.img")}`,
  ];
}

function outputLines(output: string): string[] {
  const text = output.trimEnd();
  if (text === "") return [];
  return text
    .split("\n")
    .slice(-MAX_LINES)
    .map((line) => `    | ${line}`);
}

function failureLine({ name, point, verdict }: BriefFailure): string {
  return `${name}: ${verdict.how}, ${afterMark(point.mark)}`;
}

function missingReports(history: History, { end, missing }: CrashState): MissingReport[] {
  const reports: MissingReport[] = [];
  const size = history.sectorSize;
  let mark: string | undefined;
  for (const entry of history.entries.slice(0, end)) {
    if (isMark(entry)) mark = entry.mark;
    const ranges = missing.get(entry.index);
    if (ranges === undefined) continue;
    reports.push({
      entry: entry.index,
      kind: kindOf(entry),
      offset: entry.offset,
      length: entry.length,
      mark,
      missing: ranges.map(({ from, to }) => ({ offset: from * size, length: (to - from) * size })),
    });
  }
  return reports;
}

function missingLine({ entry, kind, offset, length, mark, missing }: MissingReport): string {
  const bytes = missing.reduce((sum, part) => sum + part.length, 0);
  const first = missing[0];
  const how =
    bytes === length
      ? "all of it"
      : missing.length === 1 && first !== undefined
        ? `torn: ${bytes} bytes of it, from byte ${first.offset - offset} on`
        : `torn: ${bytes} bytes of it, in ${missing.length} places`;
  return `entry ${entry}: ${kind} of ${length} bytes at ${offset}, ${afterMark(mark)}; ${how}`;
}

function kindOf({ discard, fua }: HistoryEntry): string {
  return `${discard ? "discard" : "write"}${fua ? " with FUA" : ""}`;
}

function afterMark(mark: string | undefined): string {
  return mark === undefined ? "before any mark" : `after mark ${JSON.stringify(mark)}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function limited(lines: readonly string[]): string[] {
  if (lines.length <= MAX_LINES) return [...lines];
  return [...lines.slice(0, MAX_LINES), `    and ${lines.length - MAX_LINES} more`];
}
