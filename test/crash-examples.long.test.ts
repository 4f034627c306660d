/** A short form of npm run crash-examples: few states, drawn by a seed. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { record } from "./crash-recording.ts";
import { check, type Finding, peersOf, TRIALS, titleOf } from "./crash-trials.ts";
import { peer } from "./peers.ts";
import { inScene } from "./scene.ts";

const SEED = 1;

shortTrial("SQLite, WAL, FULL", 40, "survives power cuts", ({ failures, lying }) => {
  assert.deepEqual({ failures, lying }, { failures: [], lying: false });
});

shortTrial("key-value store, no directory sync", 60, "is caught: a value is gone that was put", ({ smallest }) => {
  assert.match(smallest?.output ?? "", /^key \d has .*, put \d was acknowledged: "value \d" was wanted$/m);
});

shortTrial("raw store", 60, "survives power cuts", ({ failures }) => assert.deepEqual(failures, []));

shortTrial("raw store, flushes swallowed", 60, "fails, and is said to be on such a disk", ({ failures, lying }) => {
  assert.equal(lying, true);
  assert.ok(failures.length > 0);
});

shortTrial("raw store, wrong order", 60, "is caught: a sector of a record is missing that counts", ({ smallest }) => {
  const missing = smallest?.missing.map(({ length, missing }) => [length, missing.map((part) => part.length)]);
  assert.deepEqual(missing, [[2048, [512]]]);
});

function shortTrial(title: string, states: number, claim: string, judge: (finding: Finding) => void): void {
  const trial = TRIALS.find((other) => titleOf(other) === title);
  assert.ok(trial !== undefined, title);
  test(`${title}: ${claim}`, { skip: peer(...peersOf(trial)) }, () =>
    inScene(async (scene) => {
      const recording = await record(scene, trial.workload);
      judge(await check(scene, trial, recording, { states, seed: SEED }));
    }),
  );
}
