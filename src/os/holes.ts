import { ENXIO, lastErrno, libc, retried, systemError } from "./libc.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_ZERO_RANGE = 16;

const lseek: (fd: number, offset: number, whence: number) => number = libc.func(
  "int64_t lseek(int fd, int64_t offset, int whence)",
);
const fallocate: (fd: number, mode: number, offset: number, length: number) => number = libc.func(
  "int fallocate(int fd, int mode, int64_t offset, int64_t length)",
);

/** Where the first data at or after `offset` (bytes) begins; undefined where there is none up to the end. */
export function seekData(fd: number, offset: number): number | undefined {
  return seek(fd, offset, SEEK_DATA);
}

/** Where the first hole at or after `offset` (bytes) begins; the end of the file counts as one. */
export function seekHole(fd: number, offset: number): number | undefined {
  return seek(fd, offset, SEEK_HOLE);
}

/** Frees the range, which then reads as zeroes. The file keeps its size. Throws EOPNOTSUPP where the file system can't. */
export function punchHole(fd: number, offset: number, length: number): void {
  retried("fallocate", () => fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, length));
}

/** Zeroes the range and keeps it allocated. The file keeps its size. Throws EOPNOTSUPP where the file system can't. */
export function zeroRange(fd: number, offset: number, length: number): void {
  retried("fallocate", () => fallocate(fd, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, offset, length));
}

function seek(fd: number, offset: number, whence: number): number | undefined {
  const found = lseek(fd, offset, whence);
  if (found >= 0) return found;
  const errno = lastErrno();
  if (errno === ENXIO) return undefined;
  throw systemError("lseek", errno);
}
