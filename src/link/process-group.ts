import { readdirSync } from "node:fs";
import { hasEnded, readStat } from "../os/process-stat.ts";

/** Kills every process of the group. Nothing happens where there is none. */
export function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch (error) {
    // ESRCH: there is none any more. EPERM: what is left of it is not ours.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH" && (error as NodeJS.ErrnoException).code !== "EPERM")
      throw error;
  }
}

/** Kills the group, and calls back when none of it runs any more; at once, if so. It looks every `pollMs`. */
export function whenGroupGone(leader: number, pollMs: number, then: () => void): void {
  killGroup(leader);
  if (groupRuns(leader)) setTimeout(() => whenGroupGone(leader, pollMs, then), pollMs);
  else then();
}

/**
 * Whether a process of the group still runs. One that only waits to be reaped by its parent can't touch anything; one whose first thread
 * has ended may have others.
 */
export function groupRuns(leader: number): boolean {
  try {
    process.kill(-leader, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(name);
    if (stat?.group === leader && !(hasEnded(stat) && stat.threads === 1)) return true;
  }
  return false;
}
