import assert from "node:assert/strict";
import { test } from "node:test";
import { shareOf, shareText } from "./share.ts";

test("the interval is Wilson's", () => {
  // Worked out by hand for 2 of 10: (0.2 + 0.19208) / 1.38416 ± 1.96 / 1.38416 · √(0.016 + 0.009604).
  const { low, high } = shareOf(2, 10);
  assert.ok(Math.abs(low - 0.05668) < 1e-4, `${low}`);
  assert.ok(Math.abs(high - 0.50984) < 1e-4, `${high}`);
});

test("0 of n has an upper bound, n of n a lower one", () => {
  assert.equal(shareText(shareOf(0, 10_000)), "0 (≤ 0.04)");
  assert.equal(shareText(shareOf(50, 50)), "100 (≥ 93)");
});

test("0 of 0 says nothing", () => {
  const { low, high } = shareOf(0, 0);
  assert.deepEqual([low, high], [0, 1]);
  assert.equal(shareText(shareOf(0, 0)), "–");
});

test("a share that isn't all of them never reads as 100", () => {
  assert.equal(shareText(shareOf(9999, 10_000)), "99.99 (99.94–99.998)");
});

test("the interval holds the share, and narrows with the number", () => {
  for (const count of [1, 7, 50, 99]) {
    const few = shareOf(count, 100);
    const many = shareOf(count * 100, 10_000);
    assert.ok(few.low < few.value && few.value < few.high);
    assert.ok(many.high - many.low < few.high - few.low);
  }
});
