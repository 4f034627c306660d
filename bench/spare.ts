import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { readStat } from "../src/os/process-stat.ts";

/** Who loads modules takes CPU time, or stands in line for it, in any stretch of so long. */
const QUIET_MS = 5;

/**
 * Whether a front has a spare driver host that waits to be wanted, and is not loading any more: a child beside the driver
 * that has done nothing but sleep for a few milliseconds. It takes as long. See proc(5): task/TID/children of the front,
 * task/TID/stat and task/TID/schedstat of the child.
 */
export async function hasReadySpare(frontPid: number, driverPid: number): Promise<boolean> {
  const before = spareOf(frontPid, driverPid);
  if (before?.sleeps !== true) return false;
  await delay(QUIET_MS);
  const after = spareOf(frontPid, driverPid);
  return after?.sleeps === true && after.pid === before.pid && after.ranNs === before.ranNs;
}

interface Process {
  readonly pid: number;
  /** All its threads do. */
  readonly sleeps: boolean;
  /** CPU time of all threads. */
  readonly ranNs: number;
}

function spareOf(frontPid: number, driverPid: number): Process | undefined {
  const children = readFileSync(`/proc/${frontPid}/task/${frontPid}/children`, "utf8").trim().split(" ");
  const pid = children.map(Number).find((child) => child > 0 && child !== driverPid && isHost(child));
  if (pid === undefined) return undefined;
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((thread) => `${pid}/task/${thread}`);
    return {
      pid,
      sleeps: threads.every((thread) => readStat(thread)?.state === "S"),
      ranNs: threads.reduce((sum, thread) => sum + ranNsOf(thread), 0),
    };
  } catch {
    return undefined; // It, or a thread of it, has ended since it was listed.
  }
}

/** Beside the hosts there are the holders of their memory, each in the session of its host. */
function isHost(pid: number): boolean {
  return readStat(pid)?.session === pid;
}

function ranNsOf(thread: string): number {
  const [ranNs] = readFileSync(`/proc/${thread}/schedstat`, "utf8").split(" ");
  return Number(ranNs);
}
