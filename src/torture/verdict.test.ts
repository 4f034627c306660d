import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Outcome } from "./plan.ts";
import { type Evidence, verdict } from "./verdict.ts";

const NOTHING: Evidence = {
  tier: "process",
  struck: false,
  hung: false,
  wrong: 0,
  errors: 0,
  detections: 0,
  restarts: 0,
  serves: true,
};

const ROWS: readonly (readonly [claim: string, Partial<Evidence>, Outcome])[] = [
  ["what never struck has no effect", {}, "no effect"],
  ["code that was run and did nothing else than before has none", { tier: "code", struck: true }, "no effect"],
  ["a strike that nobody noticed is masked", { struck: true }, "masked"],
  ["a lie that was put right without a restart is masked", { tier: "code", struck: true, detections: 1 }, "masked"],
  ["a restart without an error is a recovery", { struck: true, detections: 1, restarts: 1 }, "recovered"],
  ["an error is an honest failure", { struck: true, detections: 3, restarts: 2, errors: 1 }, "failed honestly"],
  ["a device that doesn't serve any more has failed honestly", { struck: true, serves: false }, "failed honestly"],
  ["what came to no end is a hang, whatever errors there were", { errors: 5, hung: true, serves: false }, "hang"],
  ["a wrong answer is worse than anything else", { wrong: 1, hung: true, errors: 1, restarts: 1 }, "silent"],
  ["a wrong answer counts even if nothing is known to have struck", { wrong: 1 }, "silent"],
];

for (const [claim, evidence, outcome] of ROWS) {
  test(claim, () => assert.equal(verdict({ ...NOTHING, ...evidence }), outcome));
}
