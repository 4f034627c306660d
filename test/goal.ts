import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** Other tests run beside this one, in bursts of a second. What is done in time once can be. */
const ATTEMPTS = 10;
const PAUSE_MS = 200;

/**
 * Has something take its time, which it returns in milliseconds, again if that was too long. Where others want the
 * cores, it may take so much longer, but no more than twice the goal: past that, the machine is no excuse. Returns the
 * time that was short enough.
 */
export async function withinGoal(goalMs: number, take: () => Promise<number>): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const starvedBefore = starvedMs();
    const tookMs = await take();
    const busyMs = starvedMs() - starvedBefore;
    const excusedMs = Math.min(busyMs, goalMs);
    if (tookMs <= goalMs + excusedMs) return tookMs;
    const what = `it took ${tookMs} ms, ${goalMs} ms is the goal`;
    if (attempt === ATTEMPTS) assert.fail(`${what}; somebody had no core for ${Math.round(busyMs)} ms of the time`);
    await delay(attempt * PAUSE_MS);
  }
}

/**
 * For how long, since the machine was started, something that wanted a core had none, in milliseconds (Documentation/
 * accounting/psi.rst). 0 where the kernel doesn't say.
 */
function starvedMs(): number {
  try {
    const [, microseconds = "0"] = /^some .*total=(\d+)$/m.exec(readFileSync("/proc/pressure/cpu", "utf8")) ?? [];
    return Number(microseconds) / 1000;
  } catch {
    return 0;
  }
}
