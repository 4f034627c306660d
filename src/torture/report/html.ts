import { type Campaign, OUTCOMES, type TrialResult } from "../plan.ts";
import { classOf, drawOutcomes } from "./bars.ts";
import { type Curve, drawCurves, drawKey } from "./curves.ts";
import type { Distribution } from "./distribution.ts";
import { counted, figure, oneLine } from "./figures.ts";
import { aboutBad, aboutCampaign, MAX_LISTED, verdictOf, whatOf } from "./phrases.ts";
import { replayCommand } from "./replay.ts";
import { shareOf, shareText } from "./share.ts";
import { STYLE } from "./style.ts";
import { type Cost, type OutcomeTable, type Summary, summaryOf, type Times } from "./summary.ts";
import { escaped } from "./svg.ts";

/** The report of a campaign as one page, with its pictures inside: it loads nothing, and runs nothing. */
export function htmlReport(campaign: Campaign): string {
  const summary = summaryOf(campaign);
  const title = `skink torture ${oneLine(campaign.options.spec)}`;
  const body = [
    `<h1>${escaped(title)}</h1>`,
    `<p class="verdict${summary.bad.length > 0 ? " bad" : ""}"><strong>${escaped(verdictOf(campaign, summary))}</strong></p>`,
    ...aboutCampaign(campaign).map((line) => `<p class="dim">${escaped(line)}</p>`),
    ...(campaign.trials.length === 0
      ? []
      : [pictures(summary), tables(summary), times(summary.times), costs(summary.cost)]),
    bad(campaign, summary),
  ];
  return [
    "<!doctype html>",
    '<html lang="en">',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    // Should something of a driver's get past the escaping, it would still not be run or fetched.
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    ...body,
    "</html>",
    "",
  ].join("\n");
}

function pictures({ tables, times }: Summary): string {
  const legend = OUTCOMES.map((outcome) => `<li><i class="${classOf(outcome)}"></i>${outcome}</li>`).join("");
  const bars = tables
    .map((table) => `<div><h3>${table.persistence} faults</h3>${drawOutcomes(table)}</div>`)
    .join("\n");
  return [
    "<h2>Outcomes</h2>",
    `<ul class="legend">${legend}</ul>`,
    `<div class="pair">${bars}</div>`,
    curves(times),
  ].join("\n");
}

function curves(times: readonly Times[]): string {
  const of = (which: (one: Times) => Distribution): Curve[] =>
    times.map((one) => ({ name: one.name, values: which(one) }));
  const drawn = [
    { title: "Detection, from the strike", curves: of(({ detection }) => detection) },
    { title: "Recovery, from the detection", curves: of(({ recovery }) => recovery) },
  ].flatMap(({ title, curves }) => {
    const picture = drawCurves(title, curves);
    return picture === "" ? [] : [`<div><h3>${title}</h3>${picture}</div>`];
  });
  if (drawn.length === 0) return "";
  const legend = times.map(({ name }, index) => `<li>${drawKey(index)}${name}</li>`).join("");
  return [
    "<h2>How long it took</h2>",
    '<p class="dim">The share of the times that were no longer than so long.</p>',
    `<ul class="legend">${legend}</ul>`,
    `<div class="pair">${drawn.join("\n")}</div>`,
  ].join("\n");
}

function tables({ tables }: Summary): string {
  return [
    "<h2>Outcomes in figures</h2>",
    '<p class="dim">In % of the trials, with the 95 % interval (Wilson) of it.</p>',
    ...tables.map(outcomes),
  ].join("\n");
}

function outcomes({ persistence, groups }: OutcomeTable): string {
  const heads = [`${persistence} faults`, "trials", "struck", ...OUTCOMES];
  const rows = groups.map((group) => ({
    style: group.level,
    cells: [
      group.name,
      figure(group.trials),
      figure(group.struck),
      ...OUTCOMES.map((outcome) => shareText(shareOf(group.outcomes[outcome], group.trials))),
    ],
  }));
  return table(heads, rows);
}

function times(all: readonly Times[]): string {
  const kinds = [
    ["detection", ({ detection }: Times) => detection],
    ["recovery", ({ recovery }: Times) => recovery],
    ["stall", ({ stall }: Times) => stall],
  ] as const;
  const rows = kinds.flatMap(([title, of]) =>
    all.map((one, index) => {
      const { count, p50, p90, p99, max } = of(one);
      const cells = [index === 0 ? title : one.name, ...[count, p50, p90, p99, max].map(figure)];
      return { style: index === 0 ? "all" : "kind", cells };
    }),
  );
  return `<h2>Times in ms</h2>\n${table(["", "count", "p50", "p90", "p99", "max"], rows)}`;
}

function costs({ requestsPerSecond, frontCpuUs, driverCpuUs }: Cost): string {
  return [
    "<h2>What it costs</h2>",
    `<p>Throughput under faults: ${figure(requestsPerSecond.p50)} requests/s in the middle trial.</p>`,
    `<p>CPU time for a request: front ${figure(frontCpuUs)} µs, driver ${figure(driverCpuUs)} µs.</p>`,
  ].join("\n");
}

function bad(campaign: Campaign, { bad }: Summary): string {
  if (bad.length === 0) return "";
  const rest = bad.length - MAX_LISTED;
  return [
    "<h2>Bad trials</h2>",
    ...bad.slice(0, MAX_LISTED).map((trial) => badTrial(campaign, trial)),
    ...(rest > 0 ? [`<p>… and ${counted(rest, "more bad trial")}: the JSON report has them all.</p>`] : []),
  ].join("\n");
}

function badTrial({ options }: Campaign, trial: TrialResult): string {
  const { index } = trial.plan;
  return [
    "<article>",
    `<p>Trial ${index}: ${trial.outcome}</p>`,
    ...[whatOf(trial.plan), ...aboutBad(trial, options)].map((line) => `<p>${escaped(oneLine(line))}</p>`),
    `<pre>${escaped(replayCommand(options, index))}</pre>`,
    "</article>",
  ].join("\n");
}

interface Row {
  readonly style: string;
  readonly cells: readonly string[];
}

function table(heads: readonly string[], rows: readonly Row[]): string {
  const head = heads.map((cell) => `<th>${escaped(cell)}</th>`).join("");
  const lines = rows.map(
    ({ style, cells }) => `<tr class="${style}">${cells.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`,
  );
  return `<div class="table"><table><thead><tr>${head}</tr></thead><tbody>${lines.join("\n")}</tbody></table></div>`;
}
