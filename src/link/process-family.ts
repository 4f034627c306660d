import { readdirSync, statSync } from "node:fs";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { isGone, type ProcessId, processId, statOf } from "../os/process-id.ts";
import { type ProcessStat, readStat } from "../os/process-stat.ts";
import { groupRuns, killGroup } from "./process-group.ts";
import { marksOf, ownerLives, ownMarks, partsOf } from "./process-mark.ts";

/** How often to look whether the last of them is gone. */
const POLL_MS = 2;
/** Processes that are looked at in one turn of the event loop: 8 µs each. */
const LOOK_BATCH = 256;
/**
 * How often a process is looked at that shows neither an environment nor that it has none, POLL_MS apart: a second. Where there is a
 * core for it, an exec shows nothing for some 0.1 ms. One that takes so much longer hangs in the kernel, as in the exit of
 * somebody's process on a file server that is gone, and might for ever.
 */
const UNTOLD_LOOKS = 500;

/** Those whose looks were used up, and when they were started: nobody waits for them again. */
let untold: ReadonlyMap<string, number> = new Map();

export interface FamilyOptions {
  /** When the first of them was started, in clock ticks: whoever is older is none of them. */
  readonly since?: number | undefined;
  /** A process that is seen to otherwise. */
  readonly except?: number | undefined;
  /** After this the rest of them is left to itself. Without, until they are gone. */
  readonly patienceMs?: number;
}

/**
 * Kills the group and the session of `leader`, which is dead, and every process that has the mark in its environment: a daemon leaves
 * its session, but keeps its environment. Resolves when none of them runs any more, with whether any had outlived it.
 *
 * Not found is what has left the session *and* wiped its environment, written over it, or forbidden to be looked at
 * (PR_SET_DUMPABLE); and what hangs in the kernel for longer than UNTOLD_LOOKS in the midst of an exec, or of its own end.
 */
export async function killFamily(
  leader: number | undefined,
  mark: string,
  { since, except, patienceMs = Number.POSITIVE_INFINITY }: FamilyOptions = {},
): Promise<boolean> {
  const until = performance.now() + patienceMs;
  const leaders = new Set(leader === undefined ? [] : [leader]);
  // Nobody but who is found in its session can join a group in which nobody runs.
  const group = leader !== undefined && groupRuns(leader) ? leader : undefined;
  let outlived = group !== undefined;
  const killed = new Map<number, ProcessId>();
  for (;;) {
    if (group !== undefined) killGroup(group);
    try {
      const isOfIt: Test = (pid, stat, marks) => marks.includes(mark) || isFollower(pid, stat, leaders);
      for await (const stray of find(isOfIt, since)) {
        if (stray.pid === except) continue;
        killed.set(stray.pid, stray);
        kill(stray.pid);
      }
      outlived ||= killed.size > 0;
      for (const stray of killed.values()) if (isGone(stray)) killed.delete(stray.pid);
      if (killed.size === 0 && (group === undefined || !groupRuns(group))) return outlived;
    } catch {
      // The machine doesn't let it look: they are there until it has seen that they are not.
    }
    if (performance.now() > until) return outlived;
    await delay(POLL_MS);
  }
}

/**
 * Kills every process that works on one of these stores for a process of this machine that runs no more, and returns those that
 * are not gone yet. What came of this process itself, or of a front that is alive, is left alone. `leaders`: drivers of fronts that
 * are dead; what is still in their sessions or groups has come of them, whatever it has done to its environment. They themselves are
 * known by their marks. What is not found: see {@link killFamily}.
 */
export async function killOrphans(stores: readonly string[], leaders: readonly ProcessId[]): Promise<ProcessId[]> {
  // This process may have been started by a driver itself: what it is marked with is no orphan's.
  const own = ownMarks();
  const lives = new Map<string, boolean>();
  const isOrphaned = (mark: string): boolean => {
    const { stores: worksOn, owner } = partsOf(mark);
    if (own.includes(mark) || !worksOn.some((store) => stores.includes(store))) return false;
    const isAlive = lives.get(owner) ?? ownerLives(owner);
    lives.set(owner, isAlive);
    return !isAlive;
  };
  const sessions = new Set(leaders.filter(hasItsNumber).map(({ pid }) => pid));
  // One that is in such a session itself was started by such a driver.
  const ours = readStat(process.pid);
  if (ours !== undefined) for (const id of [ours.session, ours.group]) sessions.delete(id);
  const orphans: ProcessId[] = [];
  for await (const orphan of find((pid, stat, marks) => marks.some(isOrphaned) || isFollower(pid, stat, sessions))) {
    orphans.push(orphan);
    kill(orphan.pid);
  }
  return orphans;
}

/** The kernel gives a number to nobody as long as there is a group or session of that number. */
function hasItsNumber({ pid, started }: ProcessId): boolean {
  const holder = processId(pid);
  return holder === undefined || holder.started === started;
}

/** Whether it runs in one of these sessions or groups without leading it. Numbers come again: another user's is none of ours. */
function isFollower(pid: string, stat: ProcessStat, leaders: ReadonlySet<number>): boolean {
  if (leaders.has(Number(pid))) return false;
  if (!leaders.has(stat.session) && !leaders.has(stat.group)) return false;
  return ownerOf(pid) === process.getuid?.() && !isGone({ pid: Number(pid), started: stat.startTicks });
}

function ownerOf(pid: string): number | undefined {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
}

type Test = (pid: string, stat: ProcessStat, marks: readonly string[]) => boolean;

/**
 * The processes that pass the test, each as soon as it is found. A process that forks as it is looked for is missed by that look, but
 * its child has a number that was not there before: so what is new is looked at, until nothing is. One in the midst of an exec is
 * looked at until that is over. `since`: none that is older passes the test. Throws where the machine doesn't let it look, for want of descriptors, say.
 */
async function* find(test: Test, since = 0): AsyncGenerator<ProcessId> {
  const seen = new Set<string>();
  const usedUp = new Map<string, number>();
  for (;;) {
    let names = readdirSync("/proc").filter((name) => isNumber(name) && !seen.has(name));
    if (names.length === 0) break;
    for (const name of names) seen.add(name);
    for (let looks = 1; names.length > 0; looks++) {
      const again: string[] = [];
      for (const [index, name] of names.entries()) {
        if (index % LOOK_BATCH === LOOK_BATCH - 1) await nextTurn();
        const stat = statOf(Number(name));
        if (stat === undefined || stat.startTicks < since) continue;
        const marks = marksOf(name, stat);
        if (test(name, stat, marks ?? [])) yield { pid: Number(name), started: stat.startTicks };
        else if (marks !== undefined) continue;
        else if (looks < UNTOLD_LOOKS && untold.get(name) !== stat.startTicks) again.push(name);
        else usedUp.set(name, stat.startTicks);
      }
      names = again;
      // Most execs are over by the time when all others have been looked at once.
      if (names.length > 0 && looks > 1) await delay(POLL_MS);
    }
  }
  untold = usedUp;
}

function isNumber(name: string): boolean {
  const first = name.charCodeAt(0);
  return first >= 48 && first <= 57;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
