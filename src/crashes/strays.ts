import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { isGone, type ProcessId, processId } from "../os/process-id.ts";

const POLL_MS = 2;
/** One that hangs in the kernel for longer is left to whoever finds its device in use. */
const END_TIMEOUT_MS = 10_000;

/** Kills every process that has this in its environment, "NAME=value", and waits until none of them is left. */
export async function endMarked(mark: string): Promise<void> {
  const until = performance.now() + END_TIMEOUT_MS;
  // One look misses what is just being started.
  for (let strays = find(mark); strays.length > 0 && performance.now() < until; strays = find(mark)) {
    for (const { pid } of strays) kill(pid);
    while (!strays.every(isGone) && performance.now() < until) await delay(POLL_MS);
  }
}

function find(mark: string): ProcessId[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && hasMark(name, mark))
    .flatMap((name) => processId(Number(name)) ?? []);
}

function hasMark(pid: string, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(mark);
  } catch {
    // It is another user's, or has just ended.
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
