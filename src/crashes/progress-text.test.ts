import { strict as assert } from "node:assert";
import { test } from "node:test";
import { progressText } from "./progress-text.ts";

test("progress says how far it is, how fast, and how long it takes", () => {
  assert.equal(
    progressText({ phase: "check", checked: 250, total: 1000, failures: 2 }, 5),
    "[#####...............]  250 of 1000 states, 50.0 a second, 15 s left, 2 failed",
  );
  assert.equal(
    progressText({ phase: "check", checked: 0, total: 0, failures: 0 }, 0),
    "[####################]  0 of 0 states, 0 failed",
  );
  assert.equal(
    progressText({ phase: "search", checked: 7, total: undefined, failures: 1 }, 5),
    "looking for the smallest state that fails: 7 checked",
  );
});
