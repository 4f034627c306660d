import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "./clock.ts";
import type { Condition } from "./sim-process.ts";
import { Violation } from "./violation.ts";
import { Watchdog, type Watched } from "./watchdog.ts";

function patient(condition: Condition): Watched {
  return { epoch: 1, condition, strainedMs: 0, ending: false, exited: false };
}

function pass(clock: VirtualClock, ms: number): void {
  const until = clock.now() + ms;
  while (clock.step(until)) {}
}

test("a driver that is well, slow or starved may not be given up for a hang", () => {
  const watchdog = new Watchdog(new VirtualClock(), true);
  for (const condition of ["well", "slow", "starved", "in kernel"] as const) {
    assert.throws(() => watchdog.fault(patient(condition), "deadlock"), Violation);
    watchdog.fault(patient(condition), "exit");
  }
});

test("a hang has to be called by its name where the link tells of it", () => {
  const telling = new Watchdog(new VirtualClock(), true);
  assert.throws(() => telling.fault(patient("loop"), "deadlock"), Violation);
  telling.fault(patient("loop"), "endless-loop");
  const mute = new Watchdog(new VirtualClock(), false);
  mute.fault(patient("loop"), "deadlock");
  assert.equal(telling.found.loop + mute.found.loop, 2);
});

test("a hang has to be found in time, unless the driver is ending anyway", () => {
  for (const [hang, boundMs] of [["loop", 500] as const, ["deadlock", 500] as const, ["stuck", 2500] as const]) {
    const clock = new VirtualClock();
    const watchdog = new Watchdog(clock, true);
    watchdog.hangs(patient(hang), hang);
    watchdog.hangs({ ...patient(hang), ending: true }, hang);
    assert.throws(() => pass(clock, boundMs), Violation, hang);
    pass(clock, 10_000);
  }
});

test("who is known to be slow is given more time", () => {
  const clock = new VirtualClock();
  const watchdog = new Watchdog(clock, true);
  watchdog.took(1000);
  watchdog.hangs(patient("deadlock"), "deadlock");
  pass(clock, 4000);
  assert.throws(() => pass(clock, 6000), Violation);
});
