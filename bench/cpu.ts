import { readdirSync } from "node:fs";
import { type ProcessStat, readStat } from "../src/os/process-stat.ts";

/**
 * The CPU time that a process and all its descendants have used since they started, in microseconds: user and system,
 * children that ended and were waited for included. Its grain is 10 ms. See proc(5), /proc/PID/stat.
 */
export function cpuTimeUs(pid: number): number {
  const processes = new Map<number, ProcessStat>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(name);
    // It may have ended since the folder was read.
    if (stat !== undefined) processes.set(Number(name), stat);
  }
  let ms = 0;
  for (const [candidate, stat] of processes) {
    if (descends(candidate, pid, processes)) ms += stat.cpuMs + stat.childrenCpuMs;
  }
  return ms * 1000;
}

function descends(pid: number, ancestor: number, processes: ReadonlyMap<number, ProcessStat>): boolean {
  for (let at: number | undefined = pid; at !== undefined && at > 0; at = processes.get(at)?.parent) {
    if (at === ancestor) return true;
  }
  return false;
}
