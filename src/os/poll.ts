import { libc } from "./libc.ts";

const POLLOUT = 0x04;
const POLLERR = 0x08;
const POLLHUP = 0x10;
const POLLNVAL = 0x20;
const POLLRDHUP = 0x2000;

const poll: (entries: Uint8Array, count: number, timeoutMs: number) => number = libc.func(
  "int poll(void *fds, unsigned long nfds, int timeout)",
);

// struct pollfd: int fd, short events, short revents. One for all calls: they are synchronous.
const entry = new Uint8Array(8);
const view = new DataView(entry.buffer);

/** Whether the peer of a connected socket has closed it, or its writing side, unread bytes notwithstanding. */
export function hungUp(fd: number): boolean {
  return look(fd, POLLRDHUP);
}

/** Whether nobody is left who could read what is written to a pipe, a connected socket or a terminal. */
export function readerHasGone(fd: number): boolean {
  return look(fd, 0);
}

/** Whether a write of up to 4096 bytes to a pipe, a connected socket, a terminal or a file returns without waiting, if with an error. */
export function canWrite(fd: number): boolean {
  return look(fd, POLLOUT);
}

/** Whether it is at its end, which is always told, or what is asked for has happened. */
function look(fd: number, events: number): boolean {
  view.setInt32(0, fd, true);
  view.setInt16(4, events, true);
  view.setInt16(6, 0, true);
  if (poll(entry, 1, 0) <= 0) return false;
  return (view.getInt16(6, true) & (POLLERR | POLLHUP | POLLNVAL | events)) !== 0;
}
