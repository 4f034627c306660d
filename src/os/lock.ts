import { EACCES, EAGAIN, lastErrno, libc, systemError } from "./libc.ts";

const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;

const fcntlLock: (fd: number, command: number, lock: Uint8Array) => number = libc.func("fcntl", "int", [
  "int",
  "int",
  "void *",
]);

/**
 * Takes an exclusive lock on the whole file behind `fd` (opened for writing), without waiting; one that is shared so far becomes
 * exclusive. False where somebody else holds one, and then nothing has changed. It belongs to the open file description: closing
 * the descriptor, or the end of its process, gives it back, and two descriptions of one process exclude each other as well.
 */
export function lockExclusive(fd: number): boolean {
  return lock(fd, F_WRLCK);
}

/** The same, for a lock that others may share, and that keeps out exclusive ones. `fd` has to be open for reading. */
export function lockShared(fd: number): boolean {
  return lock(fd, F_RDLCK);
}

function lock(fd: number, type: number): boolean {
  // struct flock: short type, short whence, 4 bytes padding, i64 start, i64 length (0: to the end), int pid (must be 0).
  const wanted = new Uint8Array(32);
  new DataView(wanted.buffer).setInt16(0, type, true);
  if (fcntlLock(fd, F_OFD_SETLK, wanted) === 0) return true;
  const errno = lastErrno();
  if (errno === EAGAIN || errno === EACCES) return false;
  throw systemError("fcntl(F_OFD_SETLK)", errno);
}
