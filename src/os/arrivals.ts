import { checked, libc } from "./libc.ts";

const F_GETFL = 3;
const F_SETFL = 4;
const F_SETOWN = 8;
const O_ASYNC = 0o20000;

const fcntl: (fd: number, command: number, argument: number) => number = libc.func(
  "int fcntl(int fd, int command, int argument)",
);

/** Those to be called on a signal. It doesn't say whose descriptor it is for. */
const watchers = new Set<() => void>();

/**
 * Calls `look` after something has arrived at the socket `fd`: for kinds of sockets that Node can't wait for, without a
 * thread and without polling. The kernel sends SIGIO for each arrival, and several may become one signal: `look` takes all that is
 * there, and finds nothing now and then. The call that is returned ends it; it has to be made before the descriptor is closed.
 */
export function onArrival(fd: number, look: () => void): () => void {
  // Once there is a handler it stays: a signal that was on its way would end a process that has none any more.
  if (watchers.size === 0 && process.listenerCount("SIGIO") === 0) process.on("SIGIO", () => lookAll());
  watchers.add(look);
  checked("fcntl(F_SETOWN)", fcntl(fd, F_SETOWN, process.pid));
  setAsync(fd, true);
  // What came before that has sent no signal.
  setImmediate(() => watchers.has(look) && look());
  return () => {
    setAsync(fd, false);
    watchers.delete(look);
  };
}

function lookAll(): void {
  for (const look of watchers) look();
}

function setAsync(fd: number, on: boolean): void {
  const flags = checked("fcntl(F_GETFL)", fcntl(fd, F_GETFL, 0));
  checked("fcntl(F_SETFL)", fcntl(fd, F_SETFL, on ? flags | O_ASYNC : flags & ~O_ASYNC));
}
