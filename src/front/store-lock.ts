import { closeSync, constants, fstatSync, openSync, readSync, statSync, unlinkSync, writeSync } from "node:fs";
import type { LogRun } from "../home/log/take-up.ts";
import { lockExclusive, lockShared } from "../os/lock.ts";
import type { ProcessId } from "../os/process-id.ts";

/** Always written as a whole, so that nothing of an older one is left behind it. */
const RECORD_BYTES = 4096;
/** Of the texts in it, as JSON, so that all of it fits. A signal doesn't tear a write of one page. */
const TEXT_BYTES = 400;
const HOME_BYTES = 2400;
const MODE = 0o600;

/** Who serves a store, or has served it until it died: what stands in the lock's file, as JSON. */
export interface LockRecord {
  /** For people. */
  readonly store: string;
  /** The front. */
  readonly pid: number;
  /** When it was started: see {@link ProcessId}. */
  readonly started: number;
  readonly device: string;
  /** Of the newest incarnation. */
  readonly epoch: number;
  /** Since when: an ISO date. */
  readonly since: string;
  /** The name of the machine, or container. */
  readonly host: string;
  /** The process of the newest incarnation, where it has one. */
  readonly driver?: ProcessId | undefined;
  /** The boot of the machine and the world of processes in which the numbers mean something: see {@link processWorld}. */
  readonly world?: string | undefined;
  /** Where what it has acknowledged is, if that outlives the machine too: see {@link recordedHome}. */
  readonly home?: string | undefined;
  /** What doesn't count any more of the log there, which it may not have been able to say itself. */
  readonly spentLog?: LogRun | undefined;
}

/** A home as it stands in a record: as much of it as fits, which is all of it for all but absurd paths. */
export function recordedHome(home: string): string {
  return cut(home, HOME_BYTES);
}

/** Somebody else has the lock. */
export interface Refusal {
  /** Undefined where that can't be read: who has just taken the lock has not written it yet. */
  readonly holder: LockRecord | undefined;
}

/**
 * An exclusive or shared lock on a file that says who holds it. The kernel gives it back when its front dies; then the file stays,
 * and tells the next one which epochs there were, and what to look for. Orderly given back, the file is removed.
 *
 * The record is written in place while others may read it. A torn one is no JSON, or has a number that is wrong: it is never more
 * than what a message says, since who locks the file reads it again then.
 */
export class StoreLock {
  /** What a front that died has left, or one that shares the lock has written. */
  readonly before: LockRecord | undefined;
  readonly isShared: boolean;
  readonly #path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number, shared: boolean) {
    this.#path = path;
    this.#fd = fd;
    this.isShared = shared;
    this.before = read(fd);
  }

  /** Takes it, without waiting. Throws the system's own error where there can be no such file. */
  static take(path: string, shared: boolean): StoreLock | Refusal {
    for (;;) {
      const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, MODE);
      let kept = false;
      try {
        if (!(shared ? lockShared(fd) : lockExclusive(fd))) return { holder: read(fd) };
        // Who held it before may have removed the file between the two.
        kept = isAt(fd, path);
        if (kept) return new StoreLock(path, fd, shared);
      } finally {
        if (!kept) closeSync(fd);
      }
    }
  }

  write(record: LockRecord): void {
    const { store, device, host, home } = record;
    const texts = {
      store: cut(store, TEXT_BYTES),
      device: cut(device, TEXT_BYTES),
      host: cut(host, TEXT_BYTES),
      home: home === undefined ? undefined : recordedHome(home),
    };
    const bytes = Buffer.alloc(RECORD_BYTES, " ");
    bytes.write(JSON.stringify({ ...record, ...texts }));
    bytes[RECORD_BYTES - 1] = 10;
    writeSync(this.#fd, bytes, 0, RECORD_BYTES, 0);
  }

  /** False where somebody has removed its file, so that others may lock another one. */
  get isInPlace(): boolean {
    return isAt(this.#fd, this.#path);
  }

  /** `forget`: nothing of what the record tells matters to anybody any more. */
  release(forget: boolean): void {
    // Others that share it need the file.
    if (forget && (!this.isShared || lockExclusive(this.#fd)) && isAt(this.#fd, this.#path)) unlinkSync(this.#path);
    closeSync(this.#fd);
  }
}

/** The start of a text, of at most so many bytes as JSON. */
function cut(text: string, bytes: number): string {
  let start = text.slice(0, bytes);
  while (Buffer.byteLength(JSON.stringify(start)) > bytes)
    start = start.slice(0, start.length - Math.ceil(start.length / 16));
  return start;
}

function isAt(fd: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const here = fstatSync(fd);
  return there !== undefined && there.ino === here.ino && there.dev === here.dev;
}

function read(fd: number): LockRecord | undefined {
  const bytes = Buffer.alloc(RECORD_BYTES);
  const length = readSync(fd, bytes, 0, RECORD_BYTES, 0);
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8", 0, length));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Any garbage may stand there. */
function isRecord(value: unknown): value is LockRecord {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<keyof LockRecord, unknown>;
  const texts = [record.store, record.device, record.since, record.host];
  return (
    texts.every((text) => typeof text === "string") &&
    Number.isFinite(Date.parse(record.since as string)) &&
    isProcess(record) &&
    isCount(record.epoch) &&
    (record.driver === undefined || isProcess(record.driver)) &&
    [record.world, record.home].every((text) => text === undefined || typeof text === "string") &&
    (record.spentLog === undefined || isLogRun(record.spentLog))
  );
}

function isLogRun(value: unknown): value is LogRun {
  if (typeof value !== "object" || value === null) return false;
  const { id, run } = value as Record<keyof LogRun, unknown>;
  return typeof id === "string" && isCount(run);
}

function isProcess(value: unknown): value is ProcessId {
  if (typeof value !== "object" || value === null) return false;
  const { pid, started } = value as Record<keyof ProcessId, unknown>;
  return isCount(pid) && pid > 0 && isCount(started);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
