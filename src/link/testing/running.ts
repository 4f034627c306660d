import { setTimeout as delay } from "node:timers/promises";
import { hasEnded, readStat } from "../../os/process-stat.ts";

const POLL_MS = 5;

/** A process that only waits to be reaped does not run any more. */
export function isRunning(pid: number): boolean {
  const stat = readStat(pid);
  return stat !== undefined && !hasEnded(stat);
}

/** Resolves when it has ended; of a process that is not a child of ours, there is no event for that. */
export async function ended(pid: number): Promise<void> {
  while (isRunning(pid)) await delay(POLL_MS);
}

/** Resolves when it is suspended, which SIGSTOP does at its leisure. Rejects if it has ended. */
export async function suspended(pid: number): Promise<void> {
  while (readStat(pid)?.state !== "T") {
    if (!isRunning(pid)) throw new Error(`Process ${pid} has ended`);
    await delay(POLL_MS);
  }
}
