import assert from "node:assert/strict";
import { test } from "node:test";
import { frontProfile, killScript } from "./kill-points.ts";
import type { Death } from "./reaper.ts";
import { type Kill, type Outcome, runWorld } from "./world.ts";

/** They decide what arrives of the last replies, how long the dead one's driver goes on, and what a power cut leaves. */
const SEEDS = [1, 2, 3, 4] as const;
/** After the first kill: more than it takes until the next front serves again. */
const RECOVERY_STEPS = 100;
/** One in so many of these, in turn others: a step is much the same as that before. */
const RECOVERY_STRIDE = 8;
/** From one death to that of the other of front and driver. */
const SHORTLY_STEPS = 16;

type Kind = "shm" | "disk";

for (const kind of ["shm", "disk"] as const) {
  for (const able of [true, false]) {
    const where = `home ${kind}, a driver ${able ? "with FUA, trim, zero and extents" : "with nothing but read, write and flush"}`;

    test(`${where}: front and driver may be killed at each of the front's steps, alone or together`, () => {
      for (const what of ["front", "both", "driver"] as const) eachStep(kind, able, what);
    });

    test(`${where}: the front may be killed again at each step of its recovery`, () => {
      let again = 0;
      eachPair(kind, able, RECOVERY_STEPS, ["front", "front"], ({ counts }) => {
        again += counts.doubleDeaths;
      });
      assert.ok(again > 0, "none was killed before it served again");
    });

    test(`${where}: front and driver may be killed shortly one after the other`, () => {
      eachPair(kind, able, SHORTLY_STEPS, ["front", "driver"]);
      eachPair(kind, able, SHORTLY_STEPS, ["driver", "front"]);
    });

    if (kind !== "disk") continue;

    test(`${where}: the power may fail at each step of the front`, () => {
      eachStep(kind, able, "power");
    });

    test(`${where}: the power may fail again, or after a front's death, at each step of the recovery`, () => {
      eachPair(kind, able, RECOVERY_STEPS, ["power", "power"]);
      eachPair(kind, able, RECOVERY_STEPS, ["front", "power"]);
    });
  }
}

/** With several seeds. */
function eachStep(kind: Kind, able: boolean, what: Death): void {
  const steps = stepsOfScript(kind, able);
  let takenUp = 0;
  for (let at = 1; at <= steps; at++) {
    for (const seed of SEEDS) takenUp += assertKept(kind, able, [{ at, what }], seed).counts.takeUps;
  }
  if (what !== "driver")
    assert.ok(takenUp > SEEDS.length * killScript(able).length, `only ${takenUp} shadows were taken up`);
}

/** Two deaths, the second so many steps after the first at most. */
function eachPair(
  kind: Kind,
  able: boolean,
  within: number,
  [first, second]: readonly [Death, Death],
  seen: (outcome: Outcome) => void = () => {},
): void {
  const steps = stepsOfScript(kind, able);
  for (let at = 1; at <= steps; at++) {
    for (let then = at + 1 + (at % RECOVERY_STRIDE); then <= at + within; then += RECOVERY_STRIDE) {
      const kills = [
        { at, what: first },
        { at: then, what: second },
      ];
      seen(assertKept(kind, able, kills));
    }
  }
}

function run(kind: Kind, able: boolean, kills: readonly Kill[], seed: number, recording = false): Outcome {
  return runWorld({ seed, script: killScript(able), crashAt: [], kills, profile: frontProfile(able, kind), recording });
}

/** How many points there are without a kill. */
function stepsOfScript(kind: Kind, able: boolean): number {
  const { frontSteps, violation } = run(kind, able, [], SEEDS[0]);
  assert.equal(violation, undefined);
  assert.ok(frontSteps > 4 * killScript(able).length, `only ${frontSteps} steps`);
  return frontSteps;
}

function assertKept(kind: Kind, able: boolean, kills: readonly Kill[], seed: number = SEEDS[0]): Outcome {
  const outcome = run(kind, able, kills, seed);
  if (outcome.violation === undefined) return outcome;
  const { lines } = run(kind, able, kills, seed, true);
  const deaths = kills.map(({ at, what }) => `${what} at ${at}`).join(", ");
  assert.fail([`${deaths}, seed ${seed}: ${outcome.violation.message}`, ...lines].join("\n"));
}
