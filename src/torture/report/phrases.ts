import type { Campaign, CampaignOptions, Fault, TrialPlan, TrialResult } from "../plan.ts";
import { timeOf } from "../strike-watch.ts";
import { blameFor, isUnverifiedLie } from "./blame.ts";
import { counted, figure, oneLine } from "./figures.ts";
import type { Summary } from "./summary.ts";

/** Bad trials that a report tells of one by one; a target that is meant to fail has thousands of them. */
export const MAX_LISTED = 100;

/** The campaign in a line: "1,000 trials in 312 s: none silent, no hang, no incident". */
export function verdictOf({ trials, seconds, options }: Campaign, { all }: Summary): string {
  const incidents = trials.filter(({ incident }) => incident !== undefined).length;
  const counts = [
    [all.outcomes.silent, "silent corruption or loss", "silent corruptions or losses"],
    [all.outcomes.hang, "hang", "hangs"],
    [incidents, "incident", "incidents"],
  ] as const;
  const told = counts.map(([count, one, more]) => `${count === 0 ? "no" : figure(count)} ${count > 1 ? more : one}`);
  const isLie = ({ plan, outcome }: TrialResult): boolean =>
    outcome === "silent" && options.shadow && isUnverifiedLie(plan.fault, options);
  const lies = trials.filter(isLie).length;
  if (lies > 0) told[0] += ` (${figure(lies)} by drivers that may have lied, unverified)`;
  return `${counted(trials.length, "trial")} in ${figure(seconds)} s: ${told.join(", ")}`;
}

/** What was tried, with what, and when; a line each. */
export function aboutCampaign({ versions, options, startedAt }: Campaign): string[] {
  const { spec, seed, verify, shadow, recovery } = options;
  const how = [
    shadow ? "behind its shadow" : "without a shadow",
    ...(recovery === undefined ? [] : [`recovery by ${recovery}`]),
    ...(verify === "none" ? [] : [`verify ${verify}`]),
    `seed ${seed}`,
  ];
  return [
    `${oneLine(spec)}, ${how.join(", ")}`,
    `${Object.entries(versions)
      .map(([name, version]) => oneLine(`${name} ${version}`))
      .join(", ")}; started ${startedAt}`,
  ];
}

/** The fault and the load of a trial, in one line. */
export function whatOf({ fault, load }: TrialPlan): string {
  return oneLine(`${fault.persistence} ${fault.tier} fault ${describe(fault)}, ${load} load`);
}

/** What makes a trial a bad one, a line each; as drivers said it. */
export function aboutBad(result: TrialResult, options: CampaignOptions): string[] {
  const { plan, incident, firstWrong, wrong, flushLies, firstError, errors, state, outcome } = result;
  return [
    ...whenStruck(result),
    ...(incident === undefined ? [] : [`incident: ${incident}`]),
    ...(wrong === 0
      ? []
      : [`${counted(wrong, "wrong sector")}, ${figure(flushLies)} of them flushed: ${firstWrong ?? "?"}`]),
    ...(outcome === "silent" ? [blameFor(plan.fault, options)] : []),
    ...(outcome === "hang" ? [`the device was ${state}`] : []),
    ...(errors === 0 ? [] : [`${counted(errors, "error")}, the first one: ${firstError ?? "?"}`]),
  ];
}

function whenStruck({ struck, struckMs: ms, struckRequests: requests }: TrialResult): string[] {
  if (!struck) return ["the fault isn't known to have struck"];
  return ms === undefined || requests === undefined ? [] : [`the fault struck ${timeOf({ ms, requests })}`];
}

function describe(fault: Fault): string {
  switch (fault.tier) {
    case "code":
      return `${fault.kind} in ${fault.file.slice(fault.file.lastIndexOf("/") + 1)}:${fault.line} (${fault.description})`;
    case "wire":
      return `${fault.kind}, call ${fault.nth}`;
    case "process": {
      const often = fault.strikes === 1 ? "" : `, ${fault.strikes} in a row`;
      const long = fault.lastsMs === 0 ? "" : `, for ${fault.lastsMs} ms`;
      return `${fault.kind} after ${fault.afterMs} ms${long}${often}`;
    }
  }
}
