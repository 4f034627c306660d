import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "./clock.ts";
import type { Entry } from "./history.ts";
import { ANSWERED_MS, Liveness, SERVED_MS } from "./liveness.ts";
import { Violation } from "./violation.ts";

const ENTRY: Entry = {
  id: 1,
  kind: "read",
  first: 0,
  count: 1,
  fua: false,
  mayTrim: false,
  fast: false,
  arrival: 1,
  arrivedAt: 1,
  repliedAt: 0,
  errno: undefined,
};

/** Lets a request wait for so long, over a device that is well or isn't. */
function waitFor(ms: number, isWell: (now: number) => boolean, { calm = true, isBrisk = false } = {}): void {
  const clock = new VirtualClock();
  const liveness = new Liveness({
    clock,
    longestWait: () => ({ entry: ENTRY, since: 0 }),
    isWell: () => isWell(clock.now()),
    isBrisk,
  });
  liveness.begin();
  if (calm) liveness.calm();
  while (clock.step(ms));
}

test("a request is overdue that a device leaves unanswered which is well", () => {
  waitFor(SERVED_MS, () => true);
  assert.throws(() => waitFor(SERVED_MS + 200, () => true), Violation);
});

test("while a device recovers, a request may wait, until it has to get an error", () => {
  waitFor(ANSWERED_MS, () => false);
  assert.throws(() => waitFor(ANSWERED_MS + 200, () => false), Violation);
});

test("a device that was not well in between is given its time anew", () => {
  waitFor(2 * SERVED_MS - 300, (now) => now < SERVED_MS - 300 || now > SERVED_MS - 100);
});

test("while there are faults, a request is overdue only where nothing but deaths can hold it up", () => {
  waitFor(ANSWERED_MS + 200, () => true, { calm: false });
  assert.throws(() => waitFor(SERVED_MS + 200, () => true, { calm: false, isBrisk: true }), Violation);
});
