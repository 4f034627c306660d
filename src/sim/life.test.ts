import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "./clock.ts";
import { Life } from "./life.ts";

/** A life that ends when it is asked for the n-th time. */
function lifeOf(points: number, clock = new VirtualClock()): Life {
  let left = points;
  const life: Life = new Life(clock, () => {
    if (--left === 0) life.end();
    return !life.alive;
  });
  return life;
}

test("a front that has died is not entered any more, and none of its timers fires", () => {
  const clock = new VirtualClock();
  const life = lifeOf(Number.POSITIVE_INFINITY, clock);
  const seen: string[] = [];
  life.enter(() => seen.push("turn"));
  life.clock.after(1, () => seen.push("timer"));
  life.clock.after(2, () => seen.push("late timer"));
  clock.step(1);
  life.end();
  clock.step(2);
  life.enter(() => seen.push("late turn"));
  assert.deepEqual(seen, ["turn", "timer"]);
});

test("a front that dies in the middle of a turn does nothing more of it, in whatever turn inside of it that was", () => {
  const life = lifeOf(3);
  const seen: string[] = [];
  life.enter(() => {
    seen.push("begun");
    life.point();
    life.enter(() => {
      seen.push("inside");
      life.point();
      seen.push("inside, dead");
    });
    life.point();
    seen.push("dead");
  });
  seen.push("the world goes on");
  assert.deepEqual(seen, ["begun", "inside", "the world goes on"]);
});

test("what goes wrong in a turn is not taken for its end", () => {
  assert.throws(() => lifeOf(9).enter(() => assert.fail("a broken promise")), /a broken promise/);
});
