import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonReport } from "./json.ts";
import { replayCommand } from "./replay.ts";
import { shareOf } from "./share.ts";
import { campaign, trial } from "./testing.ts";

const TRIALS = [
  trial(0),
  trial(1, {}, { outcome: "silent", wrong: 3 }),
  trial(2, { persistence: "persistent" }, { outcome: "failed honestly", detections: [] }),
  trial(3, { persistence: "persistent" }, { incident: "the front died" }),
];

function read(trials = TRIALS) {
  return JSON.parse(jsonReport(campaign(trials)));
}

test("shares stand there by persistence and kind of fault, with their intervals", () => {
  const { outcomes } = read();
  assert.deepEqual(Object.keys(outcomes), ["transient", "persistent"]);
  assert.deepEqual(
    outcomes.transient.map(({ name, level, trials, struck }: Record<string, unknown>) => [name, level, trials, struck]),
    [
      ["all", "all", 2, 2],
      ["process", "tier", 2, 2],
      ["kill", "kind", 2, 2],
    ],
  );
  const { count, value, low, high } = shareOf(1, 2);
  assert.deepEqual(outcomes.transient[0].outcomes.silent, { count, value, low, high });
  assert.deepEqual(Object.keys(outcomes.transient[0].outcomes).length, 6);
});

test("times and costs stand there as distributions, nothing as null where there is none", () => {
  const { timesMs, cost } = read();
  assert.deepEqual(timesMs[0].detection, { count: 3, p50: 2, p90: 2, p99: 2, max: 2 });
  assert.deepEqual(timesMs[0].recovery.p50, 40);
  assert.deepEqual(timesMs[0].stall.count, 4);
  assert.deepEqual(cost, {
    requestsPerSecond: { count: 4, p50: 2000, p90: 2000, p99: 2000, max: 2000 },
    frontCpuUs: 100,
    driverCpuUs: 40,
  });
  assert.equal(read([trial(0, {}, { detections: [] })]).timesMs[0].detection.p50, null);
});

test("each trial is there as it was, a bad one with the command that makes it again", () => {
  const { format, options, trials } = read();
  assert.equal(format, "skink-torture-1");
  assert.deepEqual(
    trials.map(({ replay }: { replay?: string }) => replay),
    [undefined, replayCommand(options, 1), undefined, replayCommand(options, 3)],
  );
  for (const [index, { replay: _, ...rest }] of trials.entries()) {
    assert.deepEqual(rest, JSON.parse(JSON.stringify(TRIALS[index])));
  }
});

test("a campaign without a trial has a report", () => {
  assert.deepEqual(read([]).trials, []);
});
