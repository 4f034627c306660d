import assert from "node:assert/strict";
import { test } from "node:test";
import { BadBlocks, parseRanges } from "./bad-blocks.ts";

test("a call that reaches a bad block meets the first one of them", () => {
  const bad = new BadBlocks(parseRanges("10-19,5,30"), false);
  assert.equal(bad.strike(0, 5), undefined);
  assert.equal(bad.strike(0, 40), 5);
  assert.equal(bad.strike(6, 40), 10);
  assert.equal(bad.strike(15, 1), 15);
  assert.equal(bad.strike(20, 10), undefined);
  assert.equal(bad.strike(20, 11), 30);
});

test("a range that is bad once is good after it has failed a call", () => {
  const bad = new BadBlocks(parseRanges("10-19,30"), true);
  assert.equal(bad.strike(12, 30), 12);
  assert.equal(bad.strike(12, 30), 30);
  assert.equal(bad.strike(12, 30), undefined);
});

test("what names no blocks is refused", () => {
  for (const text of ["", "a", "5-", "9-5", "1,,2", "1-2-3", "-1", "99999999999999999999"]) {
    assert.throws(() => parseRanges(text), /such as 100-199,500/, text);
  }
});
