import { checked, libc } from "./libc.ts";

const F_OFD_GETLK = 36;
const F_WRLCK = 1;
const F_UNLCK = 2;

const fcntlLock: (fd: number, command: number, lock: Uint8Array) => number = libc.func("fcntl", "int", [
  "int",
  "int",
  "void *",
]);

/** Whether somebody else's lock keeps an exclusive one out of the file behind `fd`. Takes none. */
export function isLocked(fd: number): boolean {
  // struct flock, as in lock.ts.
  const lock = new Uint8Array(32);
  const view = new DataView(lock.buffer);
  view.setInt16(0, F_WRLCK, true);
  checked("fcntl(F_OFD_GETLK)", fcntlLock(fd, F_OFD_GETLK, lock));
  return view.getInt16(0, true) !== F_UNLCK;
}
