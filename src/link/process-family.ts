import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { isGone, isRunning, type ProcessId, processId, threadsOf } from "../os/process-id.ts";
import { readStat } from "../os/process-stat.ts";
import { groupRuns, killGroup } from "./process-group.ts";

/** The environment variable by which the processes that come of one incarnation are known: see {@link newMark}. */
export const MARK = "SKINK_FAMILY";
const SEPARATOR = "/";
const ENTRY = Buffer.from(`${MARK}=`);

/** How often to look whether the last of them is gone. */
const POLL_MS = 2;
/** Processes that are looked at in one turn of the event loop: 8 µs each. */
const LOOK_BATCH = 256;
const ENVIRONMENT_BYTES = 65536;

const buffer = Buffer.allocUnsafe(ENVIRONMENT_BYTES);
let serial = 0;
let self: string | undefined;
let world: string | undefined;

/**
 * A mark that no other process has: `stores` (names of what the incarnation works on, in hexadecimal), this process, which keeps
 * it alive, and a number. Stores and process find what a dead front has left; the whole finds what comes of one incarnation.
 */
export function newMark(stores: readonly string[]): string {
  self ??= ownName();
  return `${stores.join("+")}.${self}.${++serial}`;
}

/** The value of MARK for a process with `mark`. Inside another family it has the marks of both, and goes with either. */
export function familyMark(mark: string): string {
  const outer = process.env[MARK];
  return outer === undefined ? mark : `${outer}${SEPARATOR}${mark}`;
}

/**
 * Kills the group and the session of `leader`, which is dead, and every process that has the mark in its environment: a daemon leaves
 * its session, but keeps its environment. Resolves when none of them runs any more, with whether any had outlived it.
 * What has left the session *and* wiped its environment is not found. `except`: a process that is seen to otherwise.
 */
export async function killFamily(leader: number, mark: string, except?: number): Promise<boolean> {
  let outlived = groupRuns(leader);
  const killed = new Map<number, ProcessId>();
  const leaders = new Set([leader]);
  for (;;) {
    killGroup(leader);
    try {
      for (const stray of await find((pid) => marksOf(pid)?.includes(mark) === true || isFollower(pid, leaders))) {
        if (stray.pid === except) continue;
        killed.set(stray.pid, stray);
        kill(stray.pid);
      }
      outlived ||= killed.size > 0;
      for (const stray of killed.values()) if (isGone(stray)) killed.delete(stray.pid);
      if (killed.size === 0 && !groupRuns(leader)) return outlived;
    } catch {
      // The machine doesn't let it look: they are there until it has seen that they are not.
    }
    await delay(POLL_MS);
  }
}

/**
 * Kills every process that works on one of these stores for a process of this machine that runs no more, and returns those that
 * are not gone yet. What came of this process itself, or of a front that is alive, is left alone. `leaders`: drivers of fronts that
 * are dead; what is still in their sessions or groups has come of them, whatever it has done to its environment. They themselves are
 * known by their marks.
 */
export async function killOrphans(stores: readonly string[], leaders: readonly ProcessId[]): Promise<ProcessId[]> {
  // This process may have been started by a driver itself: what it is marked with is no orphan's.
  const own = process.env[MARK]?.split(SEPARATOR) ?? [];
  const lives = new Map<string, boolean>();
  const isOrphaned = (mark: string): boolean => {
    const [marked = "", owner = ""] = mark.split(".");
    if (own.includes(mark) || !marked.split("+").some((store) => stores.includes(store))) return false;
    const isAlive = lives.get(owner) ?? ownerLives(owner);
    lives.set(owner, isAlive);
    return !isAlive;
  };
  const sessions = new Set(leaders.filter(hasItsNumber).map(({ pid }) => pid));
  // One that is in such a session itself was started by such a driver.
  const ours = readStat(process.pid);
  if (ours !== undefined) for (const id of [ours.session, ours.group]) sessions.delete(id);
  const orphans = await find(
    (pid) => marksOf(pid)?.some(isOrphaned) === true || (sessions.size > 0 && isFollower(pid, sessions)),
  );
  for (const { pid } of orphans) kill(pid);
  return orphans;
}

/** The kernel gives a number to nobody as long as there is a group or session of that number. */
function hasItsNumber({ pid, started }: ProcessId): boolean {
  const holder = processId(pid);
  return holder === undefined || holder.started === started;
}

/** Whether it runs in one of these sessions or groups without leading it. Numbers come again: another user's is none of ours. */
function isFollower(pid: string, leaders: ReadonlySet<number>): boolean {
  const stat = readStat(pid);
  if (stat === undefined || leaders.has(Number(pid))) return false;
  if (!leaders.has(stat.session) && !leaders.has(stat.group)) return false;
  return ownerOf(pid) === process.getuid?.() && !isGone({ pid: Number(pid), started: stat.startTicks });
}

function ownerOf(pid: string): number | undefined {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
}

/**
 * The processes that pass the test. A process that forks as it is looked for is missed by that look, but
 * its child has a number that was not there before: so what is new is looked at, until nothing is. Throws where the machine doesn't
 * let it look, for want of descriptors, say.
 */
async function find(test: (pid: string) => boolean): Promise<ProcessId[]> {
  const found: ProcessId[] = [];
  const seen = new Set<string>();
  for (;;) {
    const fresh = readdirSync("/proc").filter((name) => isNumber(name) && !seen.has(name));
    if (fresh.length === 0) return found;
    for (const [index, name] of fresh.entries()) {
      seen.add(name);
      if (index % LOOK_BATCH === LOOK_BATCH - 1) await nextTurn();
      const id = test(name) ? processId(Number(name)) : undefined;
      if (id !== undefined) found.push(id);
    }
  }
}

/** Undefined where a process has none. The environment belongs to the memory, which a thread has until it ends: not only the first. */
function marksOf(pid: string): string[] | undefined {
  let environment = environmentOf(pid);
  if (environment?.length === 0) {
    for (const thread of threadsOf(pid)) {
      if (thread !== pid) environment = environmentOf(`${pid}/task/${thread}`);
      if (environment !== undefined && environment.length > 0) break;
    }
  }
  if (environment === undefined) return undefined;
  for (let at = environment.indexOf(ENTRY); at !== -1; at = environment.indexOf(ENTRY, at + 1)) {
    if (at > 0 && environment[at - 1] !== 0) continue;
    const end = environment.indexOf(0, at);
    const value = environment.toString("latin1", at + ENTRY.length, end === -1 ? environment.length : end);
    return value.split(SEPARATOR);
  }
  return undefined;
}

/** Undefined where the process is gone or may not be looked at: then it may not be killed either. Valid until the next call. */
function environmentOf(pid: string): Buffer | undefined {
  const path = `/proc/${pid}/environ`;
  try {
    const fd = openSync(path, "r");
    try {
      const length = readSync(fd, buffer, 0, ENVIRONMENT_BYTES, 0);
      if (length < ENVIRONMENT_BYTES) return buffer.subarray(0, length);
    } finally {
      closeSync(fd);
    }
    return readFileSync(path);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(code)) return undefined;
    throw error;
  }
}

/** Two processes with the same one mean the same by a number and a start time. */
export function processWorld(): string {
  world ??= `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}/${namespace()}`;
  return world;
}

/** Numbers mean something only among the processes that see each other. */
function ownName(): string {
  const id = processId(process.pid);
  return `${namespace()}-${id?.pid}-${id?.started}`;
}

/** Of another world of processes nothing is known: what belongs to it is not ours to kill. */
function ownerLives(owner: string): boolean {
  const [space, pid, started] = owner.split("-");
  return space !== namespace() || isRunning({ pid: Number(pid), started: Number(started) });
}

function namespace(): string {
  return /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "";
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
