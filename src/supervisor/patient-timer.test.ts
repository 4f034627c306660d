import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Clock } from "../shadow/ports.ts";
import { afterRunning } from "./patient-timer.ts";

/** A clock whose timers fire when the test says so. */
class LateClock implements Clock {
  time = 0;
  readonly timers: { ms: number; callback: () => void; cancelled: boolean }[] = [];

  now(): number {
    return this.time;
  }

  after(ms: number, callback: () => void) {
    const timer = { ms, callback, cancelled: false };
    this.timers.push(timer);
    return {
      cancel: () => {
        timer.cancelled = true;
      },
    };
  }

  fire(index: number, at: number): void {
    this.time = at;
    const timer = this.timers[index];
    if (timer?.cancelled === false) timer.callback();
  }
}

test("a timer that is on time calls back", () => {
  const clock = new LateClock();
  let calls = 0;
  afterRunning(clock, 1000, () => calls++);
  clock.fire(0, 1010);
  assert.equal(calls, 1);
});

test("one that is late because the front did not run lets it hear first what it has missed, and can be cancelled then", () => {
  for (const isCancelled of [false, true]) {
    const clock = new LateClock();
    let calls = 0;
    const timer = afterRunning(clock, 1000, () => calls++);
    clock.fire(0, 6000);
    assert.equal(calls, 0);
    if (isCancelled) timer.cancel();
    clock.fire(1, 6250);
    assert.equal(calls, isCancelled ? 0 : 1);
  }
});
