import assert from "node:assert/strict";
import { test } from "node:test";
import { killProfile, killScript, UPGRADE_AFTER_MS, upgradeProfile } from "./kill-points.ts";
import { type Outcome, runWorld } from "./world.ts";

const SEED = 1;
const REQUESTS = killScript(true).length;
/** After the first kill: every step up to here is killed too. More than a recovery takes. */
const SECOND_KILL_STEPS = 40;
/** With an upgrade, which takes longer, one in so many of these. */
const UPGRADE_STRIDE = 8;

for (const able of [true, false]) {
  const driver = able ? "with FUA, trim, zero and extents" : "with nothing but read, write and flush";

  test(`a driver ${driver} may be killed before and after each submission and completion`, () => {
    const steps = stepsOfScript(able);
    for (let step = 1; step <= steps; step++) assertKept(able, [step]);
  });

  test(`a driver ${driver} may be killed again at each point of its recovery`, () => {
    const steps = stepsOfScript(able);
    for (let first = 1; first <= steps; first++) {
      // Every second one, in turn the even and the odd ones: a recovery is much the same as that of the step before.
      for (let second = first + 1 + (first % 2); second <= first + SECOND_KILL_STEPS; second += 2) {
        assertKept(able, [first, second]);
      }
    }
  });

  test(`a driver ${driver} and the newcomer that takes over from it may be killed at each step of the upgrade`, () => {
    const steps = stepsOfScript(able, true);
    let upgraded = 0;
    let rolledBack = 0;
    for (let first = 1; first <= steps; first++) {
      const { counts } = assertKept(able, [first], true);
      upgraded += counts.upgrades;
      rolledBack += counts.rollbacks;
      for (let second = first + 1; second <= first + SECOND_KILL_STEPS; second += UPGRADE_STRIDE) {
        assertKept(able, [first, second], true);
      }
    }
    assert.ok(upgraded > REQUESTS && rolledBack > REQUESTS, `${upgraded} upgrades and ${rolledBack} rollbacks only`);
  });
}

function run(able: boolean, crashAt: readonly number[], upgrades: boolean, recording = false): Outcome {
  const options = { seed: SEED, script: killScript(able), crashAt, recording };
  return upgrades
    ? runWorld({ ...options, profile: upgradeProfile(able), upgradeAfterMs: UPGRADE_AFTER_MS })
    : runWorld({ ...options, profile: killProfile(able) });
}

/** How many points there are without a kill. */
function stepsOfScript(able: boolean, upgrades = false): number {
  const { steps, violation, counts } = run(able, [], upgrades);
  assert.equal(violation, undefined);
  assert.ok(steps > 4 * REQUESTS, `only ${steps} steps for ${REQUESTS} requests`);
  assert.equal(counts.upgrades, upgrades ? 1 : 0);
  return steps;
}

function assertKept(able: boolean, crashAt: readonly number[], upgrades = false): Outcome {
  const outcome = run(able, crashAt, upgrades);
  if (outcome.violation === undefined) return outcome;
  const { lines } = run(able, crashAt, upgrades, true);
  assert.fail([`killed at ${crashAt.join(" and ")}: ${outcome.violation.message}`, ...lines].join("\n"));
}
