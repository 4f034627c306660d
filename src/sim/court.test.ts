import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import { Court, type Deed } from "./court.ts";
import type { Entry } from "./history.ts";
import { Violation } from "./violation.ts";

const BLOCK = 512;
const WRITE: Deed = { operation: "write", first: 4, count: 2 };
const READ: Deed = { operation: "read", first: 4, count: 1 };

function convict(court: Court, { operation, first, count }: Deed, at = 10, acknowledged = false): void {
  const range = { offset: first * BLOCK, length: count * BLOCK };
  court.convicted({ type: "convicted", operation, ...range, acknowledged, epoch: 1, driver: "", reason: "" }, at);
}

function answered({ operation, first, count }: Deed, arrivedAt: number, repliedAt: number): Entry {
  const flags = { fua: false, mayTrim: false, fast: false };
  return {
    id: 1,
    kind: operation as Entry["kind"],
    first,
    count,
    ...flags,
    arrival: 1,
    arrivedAt,
    repliedAt,
    errno: 5,
  };
}

test("a conviction takes two sure deaths alone, or three unsure ones", () => {
  for (const [blame, deaths] of [["requests", 2] as const, ["perhaps", 3] as const]) {
    const court = new Court(BLOCK, false);
    for (let i = 1; i < deaths; i++) court.died(blame, [WRITE]);
    assert.throws(() => convict(court, WRITE), Violation);
    court.died(blame, [WRITE]);
    convict(court, WRITE);
    assert.equal(court.unlucky, 1);
  }
});

test("deaths in company, of nothing, and of what nobody is blamed for convict nobody", () => {
  const court = new Court(BLOCK, false);
  for (let i = 0; i < 5; i++) {
    court.died("requests", [WRITE, READ]);
    court.died("requests", []);
    court.died("nobody", [WRITE]);
    court.died("requests", [READ]);
  }
  assert.throws(() => convict(court, WRITE), Violation);
});

test("a request may fail that was convicted while the device had it, and no other", () => {
  const court = new Court(BLOCK, false);
  for (let i = 0; i < 2; i++) {
    court.kills(WRITE);
    court.died("requests", [WRITE]);
  }
  convict(court, WRITE);
  assert.equal(court.guilty, 1);
  assert.equal(court.excuses(answered(WRITE, 5, 11), ERRNO.EIO), true);
  assert.equal(court.excuses(answered(WRITE, 5, 11), ERRNO.ENOSPC), false);
  assert.equal(court.excuses(answered(WRITE, 12, 13), ERRNO.EIO), false, "it came later");
  assert.equal(court.excuses(answered(READ, 5, 11), ERRNO.EIO), false, "it is another one");
});

test("where nothing but poison kills, one that kills too often is a violation, and a convicted piece that is tried again", () => {
  const court = new Court(BLOCK, true);
  for (let i = 0; i < 5; i++) court.kills(WRITE);
  assert.throws(() => court.kills(WRITE), Violation);

  const other = new Court(BLOCK, true);
  for (let i = 0; i < 3; i++) {
    other.kills(WRITE);
    other.died("requests", [WRITE]);
  }
  convict(other, WRITE, 10, true);
  for (let i = 0; i < 2; i++) other.kills(WRITE);
  assert.throws(() => other.kills(WRITE), Violation);
});
