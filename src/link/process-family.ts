import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { groupRuns, killGroup } from "./process-group.ts";

/** The environment variable by which the processes that come of one command are known: see {@link familyMark}. */
export const MARK = "SKINK_SERVER";
const SEPARATOR = "/";

/** How often to look whether the last of them is gone. */
const POLL_MS = 5;
/** A daemon that forks as we look is missed by that look, and found by the next. */
const EMPTY_LOOKS = 2;
/** Processes that are looked at together: bounds the descriptors that it takes. */
const LOOK_BATCH = 64;

/** The value of MARK for a command with `mark`. Inside another family it has the marks of both, and goes with either. */
export function familyMark(mark: string): string {
  const outer = process.env[MARK];
  return outer === undefined ? mark : `${outer}${SEPARATOR}${mark}`;
}

/**
 * Kills the group of `leader`, which is dead, and every process that has the mark in its environment: a daemon leaves
 * its group, but keeps its environment. Resolves when none of them runs any more, with whether any had outlived it.
 * What has left the group *and* wiped its environment is not found.
 */
export async function killFamily(leader: number, mark: string): Promise<boolean> {
  let outlived = groupRuns(leader);
  for (let empty = 0; ; ) {
    killGroup(leader);
    const strays = await marked(mark);
    for (const pid of strays) kill(pid);
    outlived ||= strays.length > 0;
    if (strays.length > 0 || groupRuns(leader)) {
      empty = 0;
      await delay(POLL_MS);
    } else if (++empty === EMPTY_LOOKS) {
      return outlived;
    }
  }
}

/** The processes that were started with the mark. Those that only wait to be reaped have no environment any more. */
async function marked(mark: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found: number[] = [];
  for (let at = 0; at < pids.length; at += LOOK_BATCH) {
    const batch = pids.slice(at, at + LOOK_BATCH);
    const has = await Promise.all(batch.map((pid) => hasMark(pid, mark)));
    found.push(...batch.filter((_, index) => has[index]).map(Number));
  }
  return found;
}

async function hasMark(pid: string, mark: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
  const entry = environment.split("\0").find((variable) => variable.startsWith(`${MARK}=`));
  return (
    entry
      ?.slice(MARK.length + 1)
      .split(SEPARATOR)
      .includes(mark) === true
  );
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
