/** When a front gets where, in a file with a line of JSON for each: written from inside of its process, read by the bench. */
import { appendFileSync, readFileSync } from "node:fs";

/**
 *   noticed   the guard knows that the front before is dead
 *   started   there is a process
 *   running   it runs JavaScript
 *   asking    it connects to somebody: the last one before `control` is the front that it takes over from
 *   control   it is listened to at its control socket: its modules are loaded, the front before is gone
 *   driver    it has locked the store, fenced it, and taken up the home, and starts a driver host, unless it has one ready
 *   clients   the driver has opened the store, and what was lost is executed again
 */
export type Place = "noticed" | "started" | "running" | "asking" | "control" | "driver" | "clients";

export interface Mark {
  readonly pid: number;
  readonly place: Place;
  /** Milliseconds, of the clock that `timestampMs` reads. */
  readonly at: number;
}

/** The same clock in all processes. */
export function timestampMs(): number {
  return performance.timeOrigin + performance.now();
}

export function writeMark(file: string, place: Place, at = timestampMs()): void {
  appendFileSync(file, `${JSON.stringify({ pid: process.pid, place, at } satisfies Mark)}\n`);
}

/** All that were written since `since`. */
export function readMarks(file: string, since: number): Mark[] {
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Mark).filter(({ at }) => at >= since);
}
