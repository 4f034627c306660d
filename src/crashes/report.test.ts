import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { CampaignResult } from "./campaign.ts";
import { type ReportContext, textReport } from "./report.ts";
import { newState } from "./state.ts";
import { FLUSH, historyOf, write } from "./testing-history.ts";

const HISTORY = historyOf([write(0), FLUSH]);
const POINT = { end: 1, volatile: Int32Array.of(0), mark: undefined };

function said(output: string, changes: Partial<ReportContext> = {}): string {
  const verdict = { passed: false, how: "exit code 1", output };
  const planned = { point: POINT, state: newState(1, new Map()) };
  const failure = { name: "1", point: POINT, verdict };
  const result = { checked: 1, failures: [failure], smallest: { planned, verdict, isMinimal: true } };
  return textReport(result as CampaignResult, contextOf(changes));
}

function contextOf(changes: Partial<ReportContext>): ReportContext {
  return {
    history: HISTORY,
    points: 2,
    planned: 3,
    exhaustive: true,
    seed: 1,
    seconds: 2,
    lying: false,
    nameOf: () => "1",
    again: (name, more) => `skink crashes disk.log --state ${name} ${more}`,
    ...changes,
  };
}

test("a failing state is told with the end of what the check said, and the commands that bring it back", () => {
  const lines = said(`${"early\n".repeat(30)}\nlate\n\n`).split("\n");
  assert.equal(lines[0], "FAILED: 1 of 1 state so far, of 3 at 2 crash points (all there are); 2.0 s, 0.5 a second");
  const output = lines.filter((line) => line.startsWith("    | "));
  assert.equal(output.length, 20);
  assert.deepEqual(output.slice(-3), ["    | early", "    | ", "    | late"]);
  assert.deepEqual(
    lines.slice(-3).map((line) => line.split(" --").at(-1)),
    ["check", "serve", "write state.img"],
  );
});

test("a check that says nothing is quoted with nothing", () => {
  assert.doesNotMatch(said(""), /\|/);
  assert.doesNotMatch(said("\n"), /\|/);
});

test("one is one", () => {
  const passed: CampaignResult = { checked: 1, failures: [], smallest: undefined };
  const report = textReport(passed, contextOf({ points: 1, exhaustive: false }));
  assert.equal(report, "passed: 1 state of 1 crash point (drawn by seed 1); 2.0 s, 0.5 a second");
});
