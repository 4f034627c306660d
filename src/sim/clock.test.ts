import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { VirtualClock } from "./clock.ts";

test("events run in order of time, and of asking where the time is the same", () => {
  const clock = new VirtualClock();
  const random = new SeededRandom(7);
  const ran: { at: number; order: number }[] = [];
  for (let order = 0; order < 200; order++) {
    const at = random.below(20);
    clock.after(at, () => ran.push({ at, order }));
  }
  while (clock.step(Number.POSITIVE_INFINITY));
  const sorted = [...ran].sort((a, b) => a.at - b.at || a.order - b.order);
  assert.equal(ran.length, 200);
  assert.deepEqual(ran, sorted);
  assert.equal(clock.now(), 19);
});

test("a cancelled event does not run, and none runs past the limit", () => {
  const clock = new VirtualClock();
  let ran = 0;
  clock.after(1, () => ran++).cancel();
  clock.after(5, () => ran++);
  assert.equal(clock.step(4), false);
  assert.equal(clock.step(5), true);
  assert.equal(ran, 1);
});
