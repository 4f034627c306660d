import { libc, retried } from "./libc.ts";

const fallocate: (fd: number, mode: number, offset: number, length: number) => number = libc.func(
  "int fallocate(int fd, int mode, int64_t offset, int64_t length)",
);

/**
 * Gives the first `length` bytes of a file their place on the disk, so that writing them can't fail for want of it. A file that was
 * shorter is so long after it; what is new reads as zeroes. Throws ENOSPC, and EOPNOTSUPP where the file system can't.
 */
export function allocate(fd: number, length: number): void {
  retried("fallocate", () => fallocate(fd, 0, 0, length));
}
