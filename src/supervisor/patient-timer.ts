import type { Clock, Timer } from "../shadow/ports.ts";

/** A timer that comes so late was held up with the whole front: stopped, or without a core. */
const LATE_MS = 100;
/** Then what the front has not heard yet is heard first. */
const GRACE_MS = 250;

/** Calls back after `ms`, or, where the front did not get to run when that was over, once it has run for a moment. */
export function afterRunning(clock: Clock, ms: number, callback: () => void): Timer {
  const dueAt = clock.now() + ms;
  let timer = clock.after(ms, () => {
    if (clock.now() - dueAt < LATE_MS) callback();
    else timer = clock.after(GRACE_MS, callback);
  });
  return { cancel: () => timer.cancel() };
}
