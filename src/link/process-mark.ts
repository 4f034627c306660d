import { readFileSync, readlinkSync } from "node:fs";
import { environmentOf } from "../os/process-environment.ts";
import { isRunning, processId } from "../os/process-id.ts";
import type { ProcessStat } from "../os/process-stat.ts";

/** The environment variable by which the processes that come of one incarnation are known: see {@link newMark}. */
export const MARK = "SKINK_FAMILY";
const SEPARATOR = "/";
const ENTRY = Buffer.from(`${MARK}=`);

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

/** Of what it works on, and by whom it was made: see {@link ownerLives}. */
export function partsOf(mark: string): { readonly stores: readonly string[]; readonly owner: string } {
  const [stores = "", owner = ""] = mark.split(".");
  return { stores: stores.split("+"), owner };
}

/** Those of this process: a driver may have started it. */
export function ownMarks(): readonly string[] {
  return process.env[MARK]?.split(SEPARATOR) ?? [];
}

/** The marks in the environment of a process; undefined where that can't be told yet. */
export function marksOf(pid: string, stat: ProcessStat): string[] | undefined {
  const environment = environmentOf(pid, stat);
  if (environment === undefined) return undefined;
  for (let at = environment.indexOf(ENTRY); at !== -1; at = environment.indexOf(ENTRY, at + 1)) {
    if (at > 0 && environment[at - 1] !== 0) continue;
    const end = environment.indexOf(0, at);
    const value = environment.toString("latin1", at + ENTRY.length, end === -1 ? environment.length : end);
    return value.split(SEPARATOR);
  }
  return [];
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
export function ownerLives(owner: string): boolean {
  const [space, pid, started] = owner.split("-");
  return space !== namespace() || isRunning({ pid: Number(pid), started: Number(started) });
}

function namespace(): string {
  return /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "";
}
