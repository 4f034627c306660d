import { type Errno, errnoName } from "../block/errors.ts";
import { OWN_MARK } from "./log-writes.ts";

/**
 * What a recording says beside what happened. Each is a mark of its own, so that readers which don't know them pass over them.
 *
 *   skink: size=1073741824 block=512     the device, first of all, and again when it has grown
 *   skink: flush begun                   a flush that has not been answered: the recording ended before
 *   skink: flush 17 done                 entry 17 was answered only now, after the entries in between
 *   skink: flush failed, EIO
 *   skink: write failed, EIO, offset=4096 length=512     the range holds what it held, or what was written, sector by sector
 *   skink: epoch 7                       on the driver's side: what comes is with a new incarnation
 *   skink: end                           the recording ended in order
 */
export const FLUSH_BEGUN_MARK = `${OWN_MARK}flush begun`;
export const END_MARK = `${OWN_MARK}end`;

export function deviceMark(size: number, blockSize: number): string {
  return `${OWN_MARK}size=${size} block=${blockSize}`;
}

export function flushDoneMark(index: number): string {
  return `${OWN_MARK}flush ${index} done`;
}

export function flushFailedMark(errno: Errno): string {
  return `${OWN_MARK}flush failed, ${errnoName(errno)}`;
}

export function failedMark(kind: "write" | "zero" | "trim", errno: Errno, offset: number, length: number): string {
  return `${OWN_MARK}${kind} failed, ${errnoName(errno)}, offset=${offset} length=${length}`;
}

/** Whether `mark` tells of a writer that failed. */
export function isFailedMark(mark: string): boolean {
  return mark.startsWith(OWN_MARK) && /^(?:write|zero|trim) failed, /.test(mark.slice(OWN_MARK.length));
}

export function epochMark(epoch: number): string {
  return `${OWN_MARK}epoch ${epoch}`;
}

/** The size of the device, in bytes, if `mark` tells it. */
export function deviceBytesIn(mark: string): number | undefined {
  return numberIn(mark, /^size=(\d+) block=\d+$/);
}

/** The index of the flush that `mark` tells the end of, if it does. */
export function flushDoneIn(mark: string): number | undefined {
  return numberIn(mark, /^flush (\d+) done$/);
}

function numberIn(mark: string, pattern: RegExp): number | undefined {
  if (!mark.startsWith(OWN_MARK)) return undefined;
  const [, digits] = pattern.exec(mark.slice(OWN_MARK.length)) ?? [];
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : undefined;
}
