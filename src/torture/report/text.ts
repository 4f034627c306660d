import { type Campaign, OUTCOMES, type TrialResult } from "../plan.ts";
import type { Distribution } from "./distribution.ts";
import { counted, figure, oneLine } from "./figures.ts";
import { aboutBad, aboutCampaign, MAX_LISTED, verdictOf, whatOf } from "./phrases.ts";
import { replayCommand } from "./replay.ts";
import { shareOf, shareText } from "./share.ts";
import { type Cost, type OutcomeTable, type Summary, summaryOf, type Times } from "./summary.ts";

/** The report of a campaign for a terminal, lines of up to 130 columns, without a newline at its end. */
export function textReport(campaign: Campaign): string {
  const summary = summaryOf(campaign);
  return [
    [verdictOf(campaign, summary), ...aboutCampaign(campaign)].join("\n"),
    ...summary.tables.map(outcomes),
    ...(campaign.trials.length === 0 ? [] : [times(summary.times), costs(summary.cost)]),
    ...bad(campaign, summary),
  ].join("\n\n");
}

function outcomes({ persistence, groups }: OutcomeTable): string {
  const rows = groups.map((group) => [
    `${group.level === "kind" ? "  " : ""}${group.name}`,
    figure(group.trials),
    figure(group.struck),
    ...OUTCOMES.map((outcome) => shareText(shareOf(group.outcomes[outcome], group.trials))),
  ]);
  const title = `Outcomes of ${persistence} faults: % of the trials, and the 95 % interval of it`;
  return `${title}\n${columns([["", "trials", "struck", ...OUTCOMES], ...rows])}`;
}

function times(all: readonly Times[]): string {
  const kinds = [
    ["detection, from the strike", ({ detection }: Times) => detection],
    ["recovery, from the detection", ({ recovery }: Times) => recovery],
    ["stall, the longest of a trial", ({ stall }: Times) => stall],
  ] as const;
  const rows = kinds.flatMap(([title, of]) =>
    all.map((one, index) => [`${(index === 0 ? title : "").padEnd(30)}${one.name}`, ...spread(of(one))]),
  );
  return `Times in ms\n${columns([["", "count", "p50", "p90", "p99", "max"], ...rows])}`;
}

function spread({ count, p50, p90, p99, max }: Distribution): string[] {
  return [count, p50, p90, p99, max].map(figure);
}

function costs({ requestsPerSecond: { p50 }, frontCpuUs, driverCpuUs }: Cost): string {
  const cpu = `CPU time for a request: front ${figure(frontCpuUs)} µs, driver ${figure(driverCpuUs)} µs`;
  return `Throughput under faults: ${figure(p50)} requests/s in the middle trial. ${cpu}.`;
}

function bad(campaign: Campaign, { bad }: Summary): string[] {
  const listed = bad.slice(0, MAX_LISTED).map((trial) => badTrial(campaign, trial));
  const rest = bad.length - listed.length;
  return rest === 0 ? listed : [...listed, `… and ${counted(rest, "more bad trial")}: the JSON report has them all.`];
}

function badTrial({ options }: Campaign, trial: TrialResult): string {
  const lines = [
    `Trial ${trial.plan.index}: ${trial.outcome.toUpperCase()}, ${whatOf(trial.plan)}`,
    ...aboutBad(trial, options).map((line) => `  ${oneLine(line)}`),
    `  ${replayCommand(options, trial.plan.index)}`,
  ];
  return lines.join("\n");
}

/** The first column to the left, the others to the right. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  const line = (row: readonly string[]): string =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}
