import assert from "node:assert/strict";
import { test } from "node:test";
import { PROCESS_KINDS, WIRE_KINDS } from "../plan.ts";
import { blameFor } from "./blame.ts";
import { trial } from "./testing.ts";

const NOBODY_LOOKS = { shadow: true, verify: "none" } as const;

function kindsBlamedOn(whom: RegExp, options: Parameters<typeof blameFor>[1]): string[] {
  const faults = [
    ...WIRE_KINDS.map((kind) => ({ tier: "wire", kind }) as const),
    ...PROCESS_KINDS.map((kind) => ({ tier: "process", kind }) as const),
    { tier: "code", kind: "off-by-one" } as const,
  ];
  const plans = faults.map((fault) => trial(0, fault).plan);
  return plans.filter(({ fault }) => whom.test(blameFor(fault, options))).map(({ fault }) => fault.kind);
}

test("while nobody looks, a driver that gives wrong answers of the right form is to blame, and Skink for all others", () => {
  assert.deepEqual(kindsBlamedOn(/^the driver/, NOBODY_LOOKS), [
    "corrupt",
    "misdirected-read",
    "misdirected-write",
    "lost",
    "torn",
    "off-by-one",
  ]);
  assert.deepEqual(kindsBlamedOn(/^Skink/, NOBODY_LOOKS), ["wrong-tag", "short", "twice", "late", ...PROCESS_KINDS]);
});

test("who verifies answers for lies, too", () => {
  const all = WIRE_KINDS.length + PROCESS_KINDS.length + 1;
  assert.equal(kindsBlamedOn(/^Skink/, { shadow: true, verify: "digests" }).length, all);
});

test("for a target that stands alone nobody answers but the target", () => {
  const all = WIRE_KINDS.length + PROCESS_KINDS.length + 1;
  assert.equal(kindsBlamedOn(/^the target/, { shadow: false, verify: "none" }).length, all);
});
