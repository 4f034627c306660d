import { checked, libc } from "./libc.ts";

const F_SETFD = 2;
const FD_CLOEXEC = 1;

const fcntl: (fd: number, command: number, argument: number) => number = libc.func(
  "int fcntl(int fd, int command, int argument)",
);

/** Keeps a descriptor that this process was given from the processes that it starts. Throws EBADF where there is none. */
export function closeOnExec(fd: number): void {
  checked("fcntl(F_SETFD)", fcntl(fd, F_SETFD, FD_CLOEXEC));
}
