import { strict as assert } from "node:assert";
import { test } from "node:test";
import { History } from "./testing-history.ts";
import { anyEnd, live } from "./testing-lives.ts";

const SEEDS = { from: 1, count: 50 };

test("after power cuts all that was synced is there, in order, and nothing comes back", () => {
  live(SEEDS, () => "powerCut");
});

test("after the deaths of fronts all that was kept is there", () => {
  live(SEEDS, () => "kill");
});

test("deaths, power cuts and clean ends follow on each other", () => {
  live(SEEDS, anyEnd);
});

test("one front goes around the log many times", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const history = new History(seed);
    history.live(5000);
    history.powerCut();
    assert.ok(history.disk.writes > 100);
  }
});
