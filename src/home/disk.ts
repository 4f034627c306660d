import { randomBytes } from "node:crypto";
import fs from "node:fs/promises";
import { dirname } from "node:path";
import { SkinkError } from "../block/errors.ts";
import { MAX_PAYLOAD_BYTES, type Memory } from "../block/memory.ts";
import { formatSize } from "../block/size.ts";
import { allocate } from "../os/allocate.ts";
import { blockDeviceSize } from "../os/block-device.ts";
import { lockExclusive } from "../os/lock.ts";
import type { Home, Remains } from "../shadow/home.ts";
import type { Clock, Log } from "../shadow/ports.ts";
import { DiskLog } from "./log/disk-log.ts";
import { AREA_START, HEADER_BYTES, ID_BYTES, minimumLogBytes, SECTOR_BYTES } from "./log/format.ts";
import { decodeHeader } from "./log/header.ts";
import { type LogRun, takeUp } from "./log/take-up.ts";
import { OpenLogFile } from "./log-file.ts";

export const DEFAULT_LOG_BYTES = 256 << 20;
/** A log has room for the largest request that a client may send, twice over: once for writing it anew. */
export const MIN_LOG_BYTES = Math.ceil(minimumLogBytes({ requestBytes: MAX_PAYLOAD_BYTES }) / 2 ** 20) * 2 ** 20;
const ZEROES = Buffer.alloc(1 << 20);

export interface LogOptions {
  /** A regular file, which is created where there is none, or a block device. */
  readonly path: string;
  /** Bytes of a log that is new. DEFAULT_LOG_BYTES, or all of a block device that is smaller. */
  readonly size?: number | undefined;
  /** The device's memory of writes. */
  readonly memory: Memory;
  readonly limits: { readonly pieces: number };
  /**
   * Where it is written that an earlier front has died with this log: then it has to be there, since it may hold what that one has
   * acknowledged.
   */
  readonly record?: string | undefined;
  /** What doesn't count of logs that may be this one. */
  readonly spent?: readonly LogRun[] | undefined;
  /** See {@link DiskLogPorts.mark}. */
  readonly mark?: ((spent: LogRun | undefined) => void) | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface OpenedLog {
  readonly home: Home;
  readonly remains: Remains;
  /** See {@link TakenUp.oldest}. */
  readonly oldest: LogRun | undefined;
  /**
   * Ends it well: what is not kept yet is written, and the file closed. Nothing may be put any more. False if something is left in it,
   * durably or not, that a front would take up.
   */
  close(): Promise<boolean>;
}

/**
 * Opens the log, creates it where there is none, and takes up what is in it. It is locked until it is closed or the process ends.
 * Throws `log-damaged`, `log-missing` (there is a record, and no log), `log-locked`, `log-size` (the size is unfit, or the memory too small for it), `log-too-full`, or the
 * system's own error.
 */
export async function openLog(options: LogOptions): Promise<OpenedLog> {
  const { path, memory, limits, clock, log, record, spent, mark } = options;
  const { handle, isMade } = await openOrCreate(path, record);
  let isLocked = false;
  try {
    if (!lockExclusive(handle.fd)) throw await lockedBy(path, handle);
    isLocked = true;
    await checkInPlace(handle, path);
    const file = await openedFile(handle, options);
    const newBytes = Math.min(file.size, sizeOf(options));
    const taken = takeUp(path, file, memory, newBytes, spent);
    const { header, remains, oldest } = taken;
    if (header === undefined) {
      if (record !== undefined) throw empty(path, record);
      log.info(`makes a new log, ${path}`);
    }
    const size = header?.size ?? newBytes;
    if (size < MIN_LOG_BYTES) throw unfit(path, size);
    if (size / 2 > memory.limitBytes) {
      const wanted = `a memory of writes with at least half of that was wanted, it has ${formatSize(memory.limitBytes)}`;
      throw new SkinkError("log-size", `Cannot use the log ${path}: it has ${formatSize(size)}, ${wanted}`);
    }
    if (options.size !== undefined && size !== options.size) {
      log.warn(`the log ${path} has ${formatSize(size)} and keeps it, though ${formatSize(options.size)} is asked for`);
    }
    const newId = randomBytes(ID_BYTES);
    const ports = { path, file, memory, clock, log, pid: process.pid, newId, newBytes, mark };
    const home = new DiskLog(ports, taken, { pieces: limits.pieces, requestBytes: MAX_PAYLOAD_BYTES });
    const close = async (): Promise<boolean> => {
      const isEmpty = await new Promise<boolean>((resolve) => home.close(resolve));
      await handle.close();
      return isEmpty;
    };
    return { home, remains, oldest, close };
  } catch (error) {
    // As long as it is locked nobody else has come to use it.
    if (isMade && isLocked) await fs.rm(path, { force: true });
    await handle.close();
    throw error;
  }
}

function empty(path: string, record: string): SkinkError {
  return missing(path, "there is nothing in it", record);
}

function missing(path: string, what: string, record: string): SkinkError {
  const wanted = "what an earlier front that died has acknowledged was wanted";
  return new SkinkError(
    "log-missing",
    `Cannot open the log ${path}: ${what}, ${wanted}: bring it back, or remove ${record} to give it up`,
  );
}

function sizeOf({ path, size = DEFAULT_LOG_BYTES }: LogOptions): number {
  if (size < MIN_LOG_BYTES || size % SECTOR_BYTES !== 0) throw unfit(path, size);
  return size;
}

function unfit(path: string, size: number): SkinkError {
  const wanted = `at least ${formatSize(MIN_LOG_BYTES)} in whole sectors of ${SECTOR_BYTES} bytes was wanted`;
  return new SkinkError("log-size", `Cannot use the log ${path}: its size is ${formatSize(size)}, ${wanted}`);
}

/** `isMade`: the file was not there before. */
async function openOrCreate(
  path: string,
  record: string | undefined,
): Promise<{ readonly handle: fs.FileHandle; readonly isMade: boolean }> {
  try {
    return { handle: await fs.open(path, "r+"), isMade: false };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw cannotOpen(path, error);
  }
  if (record !== undefined) throw missing(path, "it isn't there any more", record);
  try {
    return { handle: await fs.open(path, "wx+", 0o600), isMade: true };
  } catch (error) {
    // Another front was a moment faster; its lock decides.
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return { handle: await fs.open(path, "r+"), isMade: false };
    throw cannotOpen(path, error);
  }
}

/** Who has just made it may have failed, and removed it, before it was locked. */
async function checkInPlace(handle: fs.FileHandle, path: string): Promise<void> {
  const [here, there] = await Promise.all([handle.stat(), fs.stat(path).catch(() => undefined)]);
  if (here.ino !== there?.ino || here.dev !== there.dev) throw cannotOpen(path, new Error("it was removed meanwhile"));
}

/** A new file gets its size, and its place on the disk. */
async function openedFile(handle: fs.FileHandle, options: LogOptions): Promise<OpenLogFile> {
  const stat = await handle.stat();
  if (stat.isBlockDevice()) return new OpenLogFile(handle.fd, blockDeviceSize(handle.fd));
  if (!stat.isFile()) throw cannotOpen(options.path, new Error("it is neither a regular file nor a block device"));
  // Shorter than a log, and nothing in it: whoever was about to make it has died of that.
  if (stat.size < sizeOf(options) && (await isAllZeroes(handle))) {
    if (options.record !== undefined) throw empty(options.path, options.record);
    await prepare(handle, stat.size, options);
  }
  return new OpenLogFile(handle.fd, (await handle.stat()).size);
}

async function isAllZeroes(handle: fs.FileHandle): Promise<boolean> {
  const chunk = Buffer.alloc(ZEROES.length);
  for (let at = 0; ; ) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) return true;
    if (!chunk.subarray(0, bytesRead).equals(ZEROES.subarray(0, bytesRead))) return false;
    at += bytesRead;
  }
}

/**
 * Its blocks are allocated, so that no write fails for want of room, and written: a sync of a record then has nothing to do for the
 * file system. Nothing that was there is touched.
 */
async function prepare(handle: fs.FileHandle, from: number, options: LogOptions): Promise<void> {
  const size = sizeOf(options);
  try {
    allocate(handle.fd, size);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EOPNOTSUPP") throw cannotOpen(options.path, error);
  }
  for (let at = from; at < size; ) {
    const bytes = Math.min(ZEROES.length, size - at);
    at += (await handle.write(ZEROES, 0, bytes, at)).bytesWritten;
  }
  await handle.sync();
  // The name of a new file is as much in need of being durable as its contents.
  const folder = await fs.open(dirname(options.path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The newest header says who. */
async function lockedBy(path: string, handle: fs.FileHandle): Promise<SkinkError> {
  const { buffer } = await handle.read(Buffer.alloc(AREA_START), 0, AREA_START, 0);
  const slots = [buffer.subarray(0, HEADER_BYTES), buffer.subarray(HEADER_BYTES)];
  const headers = slots.flatMap((slot) => decodeHeader(slot).header ?? []);
  const newest = headers.sort((a, b) => b.sequence - a.sequence)[0];
  const holder = newest === undefined ? "another front" : `another front (pid ${newest.pid}, when it was last written)`;
  return new SkinkError("log-locked", `Cannot open the log ${path}: ${holder} has it open, one of its own was wanted`);
}

function cannotOpen(path: string, error: unknown): SkinkError {
  const what = error instanceof Error ? error.message : String(error);
  return new SkinkError("log-file", `Cannot open the log ${path}: ${what}`, { cause: error });
}
