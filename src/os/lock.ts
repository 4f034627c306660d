import { EACCES, EAGAIN, lastErrno, libc, systemError } from "./libc.ts";

const F_OFD_SETLK = 37;
const F_WRLCK = 1;

const fcntlLock: (fd: number, command: number, lock: Uint8Array) => number = libc.func("fcntl", "int", [
  "int",
  "int",
  "void *",
]);

/**
 * Takes an exclusive lock on the whole file behind `fd` (opened for writing), without waiting.
 * False where somebody else holds one. It belongs to the open file description: closing the descriptor, or the
 * end of its process, gives it back.
 */
export function lockExclusive(fd: number): boolean {
  // struct flock: short type, short whence, 4 bytes padding, i64 start, i64 length (0: to the end), int pid (must be 0).
  const lock = new Uint8Array(32);
  new DataView(lock.buffer).setInt16(0, F_WRLCK, true);
  if (fcntlLock(fd, F_OFD_SETLK, lock) === 0) return true;
  const errno = lastErrno();
  if (errno === EAGAIN || errno === EACCES) return false;
  throw systemError("fcntl(F_OFD_SETLK)", errno);
}
