import { readdirSync, readFileSync } from "node:fs";
import { hasEnded, type ProcessStat, readStat } from "./process-stat.ts";

/** SIGKILL in the masks of /proc/<pid>/status: bit 0 is signal 1. */
const SIGKILL_BIT = 1n << 8n;

/** One process of this machine since it was started: its number may be another one's later, but not from the same tick on. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since the machine was started. */
  readonly started: number;
}

/**
 * Undefined where there is no such process, not even one that nobody has reaped. All functions here throw where the machine doesn't
 * let them look, for want of descriptors, say: not to know is no answer.
 */
export function processId(pid: number): ProcessId | undefined {
  const stat = statOf(pid);
  return stat === undefined ? undefined : { pid, started: stat.startTicks };
}

/** Whether it goes on running: one that was killed, and only has not ended yet, does not. */
export function isRunning({ pid, started }: ProcessId): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.startTicks === started && !hasEnded(stat) && !isKilled(pid);
}

/**
 * Whether nothing of it is left that could touch anything: it is reaped, or only waits for that. A process that looks ended has
 * threads that may still hang in the kernel, with a write in hand. A thread that begins a program takes the place of the first one: state
 * and number of threads are of one look, so that this one's end is not taken for that of all.
 */
export function isGone({ pid, started }: ProcessId): boolean {
  const stat = statOf(pid);
  return stat === undefined || stat.startTicks !== started || (hasEnded(stat) && stat.threads === 1);
}

/** Its state in one letter, of the thread that hangs most: for people. Undefined where it is gone. */
export function stateOf({ pid }: ProcessId): string | undefined {
  const states = threadsOf(pid).map((thread) => readStat(`${pid}/task/${thread}`)?.state);
  return states.find((state) => state === "D") ?? states.find((state) => state !== "Z" && state !== "X") ?? states[0];
}

/** The threads of a process; none where it is gone. */
export function threadsOf(pid: number | string): string[] {
  return orGone(() => readdirSync(`/proc/${pid}/task`)) ?? [];
}

/** Whether SIGKILL is on its way to it. */
function isKilled(pid: number): boolean {
  const status = orGone(() => readFileSync(`/proc/${pid}/status`, "latin1"));
  if (status === undefined) return true;
  const masks = status.matchAll(/^S(?:ig|hd)Pnd:\s*([0-9a-f]+)$/gm);
  return [...masks].some(([, mask]) => (BigInt(`0x${mask}`) & SIGKILL_BIT) !== 0n);
}

/** As `readStat`, but throws where the machine doesn't let it look at a process that is in reach. */
export function statOf(pid: number): ProcessStat | undefined {
  const stat = readStat(pid);
  if (stat === undefined && isInReach(pid)) throw new Error(`Cannot look at process ${pid}, though it is there`);
  return stat;
}

/** Whether there is such a process, and this user may end it. */
export function isInReach(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function orGone<Value>(look: () => Value): Value | undefined {
  try {
    return look();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}
