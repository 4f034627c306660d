import koffi from "koffi";
import { EAGAIN, EINTR, ENOTSUP, lastErrno, libc, systemError } from "./libc.ts";

const RWF_NOWAIT = 8;

const preadv2: (fd: number, vector: BigUint64Array, count: number, offset: number, flags: number) => number = libc.func(
  "int64_t preadv2(int fd, const void *iov, int iovcnt, int64_t offset, int flags)",
);

// struct iovec: base, length. One for all calls: they are synchronous.
const vector = new BigUint64Array(2);

/**
 * Reads into `into` from `position` (bytes) what is there without waiting for a disk, which for cached pages is far
 * cheaper than a trip through the thread pool. Returns the bytes read, perhaps fewer than asked for, 0 at the end of
 * the file; undefined where it would block, or where the file system can't tell.
 */
export function readNoWait(fd: number, into: Uint8Array, position: number): number | undefined {
  vector[0] = koffi.address(into);
  vector[1] = BigInt(into.byteLength);
  const count = preadv2(fd, vector, 1, position, RWF_NOWAIT);
  if (count >= 0) return count;
  const errno = lastErrno();
  if (errno === EAGAIN || errno === EINTR || errno === ENOTSUP) return undefined;
  throw systemError("preadv2", errno);
}
