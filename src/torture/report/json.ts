import { type Campaign, OUTCOMES } from "../plan.ts";
import type { Distribution } from "./distribution.ts";
import { replayCommand } from "./replay.ts";
import { shareOf } from "./share.ts";
import { type Cost, type Group, isBad, summaryOf, type Times } from "./summary.ts";

/** The report of a campaign for machines: what the others say in figures, and each trial. What isn't known is left out, or null. */
export function jsonReport(campaign: Campaign): string {
  const { trials, ...about } = campaign;
  const { tables, times, cost } = summaryOf(campaign);
  return JSON.stringify({
    ...about,
    outcomes: Object.fromEntries(tables.map(({ persistence, groups }) => [persistence, groups.map(withShares)])),
    timesMs: times.map(timesOf),
    cost: costOf(cost),
    trials: trials.map((trial) =>
      isBad(trial) ? { ...trial, replay: replayCommand(campaign.options, trial.plan.index) } : trial,
    ),
  });
}

function withShares({ outcomes, ...group }: Group): object {
  const shares = OUTCOMES.map((outcome) => [outcome, shareOf(outcomes[outcome], group.trials)] as const);
  return { ...group, outcomes: Object.fromEntries(shares.map(([outcome, { of: _, ...share }]) => [outcome, share])) };
}

function timesOf({ name, detection, recovery, stall }: Times): object {
  return { name, detection: brief(detection), recovery: brief(recovery), stall: brief(stall) };
}

function costOf({ requestsPerSecond, ...cpu }: Cost): object {
  return { requestsPerSecond: brief(requestsPerSecond), ...cpu };
}

/** Without the values themselves, which are those of the trials. */
function brief({ sorted: _, ...distribution }: Distribution): object {
  return distribution;
}
