import { readdirSync, readFileSync } from "node:fs";

/** The processes of the group that `leader` leads, itself among them, without those that are over. */
export function familyOf(leader: number): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && groupOf(pid) === leader);
}

/** Whether there is such a process, and not only what its parent has still to reap. */
export function isRunning(pid: number): boolean {
  return groupOf(pid) !== undefined;
}

/** The fields behind the command, which may hold anything (proc_pid_stat(5)): state, parent, group. */
function groupOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" || state === "X" ? undefined : Number(group);
  } catch {
    return undefined;
  }
}
