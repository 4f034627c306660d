import { readdirSync, readFileSync } from "node:fs";

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

/** Whether a process of the group still runs. One that only waits to be reaped by its parent can't touch anything. */
export function groupRuns(leader: number): boolean {
  try {
    process.kill(-leader, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statFields(name);
    if (fields !== undefined && fields.group === leader && fields.state !== "Z" && fields.state !== "X") return true;
  }
  return false;
}

/** From /proc/<pid>/stat (proc_pid_stat(5)): pid (command) state ppid pgrp …; the command may hold anything. */
function statFields(pid: string): { state: string; group: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", , group = ""] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state, group: Number(group) };
  } catch {
    return undefined;
  }
}
