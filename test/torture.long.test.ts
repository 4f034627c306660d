/** Longer campaigns over every tier, for what shows itself rarely. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type CampaignOrder, runCampaign } from "../src/torture/campaign.ts";
import type { Outcome, TrialResult } from "../src/torture/plan.ts";
import { replayCommand } from "../src/torture/report/replay.ts";
import { EXAMPLES } from "./scene.ts";

const TRIALS = 200;
/** Another one each time; SKINK_TORTURE_SEED makes the same trials again. */
const SEED = Number(process.env.SKINK_TORTURE_SEED ?? Date.now() % 2 ** 31);

for (const spec of ["memory:8M", "file:{disk}", `${EXAMPLES}/volatile.ts?size=8M`]) {
  const name = spec.replace(EXAMPLES, ".");
  test(`faults of the process lose nothing of ${name}`, () =>
    campaign(spec, { tiers: ["process"] }, ["silent", "hang"]));

  // What a driver in disguise may do to its medium behind everybody's back is another matter: see the report.
  test(`no fault whatever hangs ${name}`, () => campaign(spec, { verify: "digests" }, ["hang"]));
}

async function campaign(spec: string, changes: Partial<CampaignOrder>, unwanted: readonly Outcome[]): Promise<void> {
  const order: CampaignOrder = {
    spec,
    seed: SEED,
    tiers: ["code", "wire", "process"],
    persistence: undefined,
    verify: "none",
    shadow: true,
    recovery: undefined,
    loadMs: 150,
    trials: TRIALS,
    ...changes,
  };
  const { trials, options } = await runCampaign(order, { trial: () => {} });
  assert.equal(trials.length, TRIALS);
  const isBad = ({ outcome, incident }: TrialResult): boolean => unwanted.includes(outcome) || incident !== undefined;
  const bad = trials.filter(isBad).map(({ plan, outcome, incident, firstWrong }) => ({
    outcome,
    incident,
    firstWrong,
    command: replayCommand(options, plan.index),
  }));
  assert.deepEqual(bad, []);
}
