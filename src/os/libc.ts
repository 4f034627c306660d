import { getSystemErrorName } from "node:util";
import koffi from "koffi";

/** The C library. Only this folder calls foreign functions; each file declares the ones it needs. */
export const libc = koffi.load("libc.so.6");

/** What a failed system call is reported as: like Node's own system errors. */
export interface SystemError extends Error {
  /** "EOPNOTSUPP", "ENOSPC", … */
  code: string;
  /** The positive number. */
  errno: number;
  syscall: string;
}

/** The error number of the last foreign call of this thread. Ask at once: anything else may change it. */
export function lastErrno(): number {
  return koffi.errno();
}

/** `errno` as an error to throw. */
export function systemError(syscall: string, errno: number): SystemError {
  const code = errorCode(errno);
  return Object.assign(new Error(`${code}: ${syscall} failed`), { code, errno, syscall });
}

/** Passes a result on; throws the errno of a call that failed (-1). */
export function checked(syscall: string, result: number): number {
  if (result < 0) throw systemError(syscall, lastErrno());
  return result;
}

/** Like {@link checked}, with the call repeated while a signal interrupts it. */
export function retried(syscall: string, call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== EINTR) throw systemError(syscall, errno);
  }
}

export const EINTR = 4;
export const ENXIO = 6;
export const EAGAIN = 11;
export const EACCES = 13;
export const ENOTSUP = 95;

function errorCode(errno: number): string {
  // Linux has one number for ENOTSUP and EOPNOTSUPP; Node's file system errors say the latter.
  return errno === ENOTSUP ? "EOPNOTSUPP" : getSystemErrorName(-errno);
}
