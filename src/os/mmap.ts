import koffi from "koffi";
import { checked, lastErrno, libc, systemError } from "./libc.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

const mmap: (
  address: null,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => bigint | null = libc.func("void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)");
const munmap: (address: bigint, length: number) => number = libc.func("int munmap(void *addr, size_t length)");

export interface Mapping {
  /** The mapped bytes. After `unmap`, touching them ends the process: drop every view before. */
  readonly buffer: ArrayBuffer;
  unmap(): void;
}

/**
 * Maps the first `bytes` of `fd`, shared. A write to a "read" mapping is a SIGSEGV, which no handler
 * survives. The descriptor is not needed afterwards.
 */
export function mapShared(fd: number, bytes: number, access: "read" | "write"): Mapping {
  const protection = access === "write" ? PROT_READ | PROT_WRITE : PROT_READ;
  const address = mmap(null, bytes, protection, MAP_SHARED, fd, 0);
  if (address === null || address === MAP_FAILED) throw systemError("mmap", lastErrno());
  let mapped = true;
  return {
    buffer: koffi.view(address, bytes),
    unmap() {
      if (!mapped) return;
      mapped = false;
      checked("munmap", munmap(address, bytes));
    },
  };
}
