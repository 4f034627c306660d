import { checked, libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

const socketpair: (domain: number, type: number, protocol: number, pair: Int32Array) => number = libc.func(
  "int socketpair(int domain, int type, int protocol, void *sv)",
);
const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
  "int64_t send(int fd, const void *buf, size_t len, int flags)",
);

const BELL = new Uint8Array([1]);

/** Two connected, non-blocking stream sockets, closed on exec. The caller closes both. */
export function createSocketPair(): [number, number] {
  const pair = new Int32Array(2);
  checked("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
  return [pair[0] as number, pair[1] as number];
}

/**
 * Wakes whoever reads the other end of socket `fd`. Never blocks, never fails: a full socket already
 * holds a ring that was not heard yet, and a closed one is noticed by its reader.
 */
export function ring(fd: number): void {
  send(fd, BELL, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}
