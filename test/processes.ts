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

/** The processes that `parent` has started itself, without those that are over. */
export function childrenOf(parent: number): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && relationsOf(pid)?.parent === parent);
}

function groupOf(pid: number): number | undefined {
  return relationsOf(pid)?.group;
}

/** The fields behind the command, which may hold anything (proc_pid_stat(5)): state, parent, group. */
function relationsOf(pid: number): { readonly parent: number; readonly group: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" || state === "X" ? undefined : { parent: Number(parent), group: Number(group) };
  } catch {
    return undefined;
  }
}
