import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Deadlines, LONGEST_TICK_MS } from "./deadlines.ts";
import { DEFAULT_POLICY } from "./policy.ts";

const POLICY = {
  ...DEFAULT_POLICY,
  deadlockFloorMs: 300,
  stuckFloorMs: 1000,
  deadlineFactor: 8,
  deadlineCeilingMs: 20_000,
};

/** A latency that is learned as so much. */
function measured(latencyMs: number): number {
  return latencyMs + LONGEST_TICK_MS;
}

test("deadlines start at their floors, and stay there for quick stores", () => {
  const deadlines = new Deadlines(POLICY);
  assert.equal(deadlines.stuckAfter("read"), 1000);
  assert.equal(deadlines.deadlockAfter(["read"]), 300);
  deadlines.learn("read", measured(10));
  assert.equal(deadlines.stuckAfter("read"), 1000);
  assert.equal(deadlines.deadlockAfter(["read"]), 300);
});

test("a deadline is a multiple of the tail of its kind, and half of that for anything to complete", () => {
  const deadlines = new Deadlines(POLICY);
  deadlines.learn("read", measured(200));
  deadlines.learn("read", measured(150));
  deadlines.learn("flush", measured(1000));
  assert.equal(deadlines.stuckAfter("read"), 1600);
  assert.equal(deadlines.stuckAfter("flush"), 8000);
  assert.equal(deadlines.deadlockAfter(["read"]), 800);
  assert.equal(deadlines.deadlockAfter(["read", "flush"]), 4000);
});

test("a kind that nothing is known of is given what the slowest one is, and so is a sign of life", () => {
  const deadlines = new Deadlines(POLICY);
  deadlines.learn("write", measured(50));
  deadlines.learn("flush", measured(500));
  assert.equal(deadlines.stuckAfter("trim"), 4000);
  assert.equal(deadlines.deadlockAfter([]), 2000);
});

test("no deadline is over the ceiling", () => {
  const deadlines = new Deadlines(POLICY);
  deadlines.learn("flush", measured(10_000));
  assert.equal(deadlines.stuckAfter("flush"), 20_000);
  deadlines.patience = 10;
  deadlines.missed(20_000);
  assert.equal(deadlines.deadlockAfter(["flush"]), 20_000);
});

test("patience makes every deadline longer", () => {
  const deadlines = new Deadlines(POLICY);
  deadlines.patience = 3;
  assert.equal(deadlines.stuckAfter("read"), 3000);
  assert.equal(deadlines.deadlockAfter(["read"]), 900);
});

test("every deadline that is missed doubles them, until they are absolved", () => {
  const deadlines = new Deadlines(POLICY);
  deadlines.missed(300);
  assert.equal(deadlines.deadlockAfter(["read"]), 600);
  deadlines.missed(600);
  assert.equal(deadlines.deadlockAfter(["read"]), 1200);
  assert.equal(deadlines.stuckAfter("read"), 4000);
  deadlines.absolve();
  assert.equal(deadlines.deadlockAfter(["read"]), 300);
});

test("a completion that would have missed the deadline is learned from, and needs no doubling any more", () => {
  const deadlines = new Deadlines(POLICY);
  deadlines.missed(measured(300));
  deadlines.learn("read", measured(299));
  assert.equal(deadlines.stuckAfter("read"), 2 * 8 * 299);
  deadlines.learn("read", measured(400));
  assert.equal(deadlines.stuckAfter("read"), 8 * 400);
});

test("a tail is forgotten after two windows of completions, not of silence", () => {
  const deadlines = new Deadlines(POLICY);
  deadlines.learn("read", measured(1000));
  deadlines.pass(1_000_000);
  assert.equal(deadlines.stuckAfter("read"), 8000);
  deadlines.learn("read", measured(1));
  assert.equal(deadlines.stuckAfter("read"), 8000);
  deadlines.pass(30_000);
  deadlines.learn("read", measured(1));
  assert.equal(deadlines.stuckAfter("read"), 1000);
});
