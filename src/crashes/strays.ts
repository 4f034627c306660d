import { readdirSync, readFileSync } from "node:fs";

/** Kills every process that has this in its environment, "NAME=value". Whoever has been told to die may take a moment. */
export function killMarked(mark: string): void {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "latin1");
      if (environment.split("\0").includes(mark)) process.kill(Number(name), "SIGKILL");
    } catch {
      // It is another user's, or has just ended.
    }
  }
}
