import assert from "node:assert/strict";
import { test } from "node:test";
import { killProfile, killScript } from "./kill-points.ts";
import { type Outcome, runWorld } from "./world.ts";

const SEED = 1;
const REQUESTS = killScript(true).length;
/** After the first kill: every step up to here is killed too. More than a recovery takes. */
const SECOND_KILL_STEPS = 40;

for (const able of [true, false]) {
  const driver = able ? "with FUA, trim, zero and extents" : "with nothing but read, write and flush";

  test(`a driver ${driver} may be killed before and after each submission and completion`, () => {
    const steps = stepsOfScript(able);
    for (let step = 1; step <= steps; step++) assertKept(able, [step]);
  });

  test(`a driver ${driver} may be killed again at each point of its recovery`, () => {
    const steps = stepsOfScript(able);
    for (let first = 1; first <= steps; first++) {
      for (let second = first + 1; second <= first + SECOND_KILL_STEPS; second++) assertKept(able, [first, second]);
    }
  });
}

function run(able: boolean, crashAt: readonly number[], recording = false): Outcome {
  return runWorld({ seed: SEED, profile: killProfile(able), script: killScript(able), crashAt, recording });
}

/** How many points there are without a kill. */
function stepsOfScript(able: boolean): number {
  const { steps, violation } = run(able, []);
  assert.equal(violation, undefined);
  assert.ok(steps > 4 * REQUESTS, `only ${steps} steps for ${REQUESTS} requests`);
  return steps;
}

function assertKept(able: boolean, crashAt: readonly number[]): void {
  const { violation } = run(able, crashAt);
  if (violation === undefined) return;
  const { lines } = run(able, crashAt, true);
  assert.fail([`killed at ${crashAt.join(" and ")}: ${violation.message}`, ...lines].join("\n"));
}
