import { readdirSync, readFileSync } from "node:fs";

/** USER_HZ, which Linux fixes at 100 for what it shows in /proc. */
const TICKS_PER_SECOND = 100;

/**
 * The CPU time that a process and all its descendants have used since they started, in microseconds: user and system,
 * children that ended and were waited for included. Its grain is 10 ms. See proc(5), /proc/PID/stat.
 */
export function cpuTimeUs(pid: number): number {
  const processes = new Map<number, Stat>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(Number(name));
    if (stat !== undefined) processes.set(Number(name), stat);
  }
  let ticks = 0;
  for (const [candidate, stat] of processes) {
    if (descends(candidate, pid, processes)) ticks += stat.ticks;
  }
  return (ticks * 1e6) / TICKS_PER_SECOND;
}

interface Stat {
  readonly parent: number;
  readonly ticks: number;
}

function descends(pid: number, ancestor: number, processes: ReadonlyMap<number, Stat>): boolean {
  for (let at: number | undefined = pid; at !== undefined && at > 0; at = processes.get(at)?.parent) {
    if (at === ancestor) return true;
  }
  return false;
}

function readStat(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined; // It has ended since the folder was read.
  }
  // The second field is the program's name in brackets, and may hold anything; the third is the first one after it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  return { parent: field(4), ticks: field(14) + field(15) + field(16) + field(17) };
}
