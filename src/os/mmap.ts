import koffi from "koffi";
import { checked, lastErrno, libc, systemError } from "./libc.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const PAGE_BYTES = 4096;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

const mmap: (
  address: null,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => bigint | null = libc.func("void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)");
const mprotect: (address: bigint, length: number, protection: number) => number = libc.func(
  "int mprotect(void *addr, size_t length, int prot)",
);
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

/**
 * Maps `bytes` of memory for good, with `code` at its beginning: the first page can be executed and not written any more, the rest
 * be written. Returns its address; `undefined` on a machine that doesn't allow that.
 */
export function mapCode(code: Uint8Array, bytes: number): bigint | undefined {
  const address = mmap(null, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address === null || address === MAP_FAILED) return undefined;
  new Uint8Array(koffi.view(address, bytes)).set(code);
  return mprotect(address, PAGE_BYTES, PROT_READ | PROT_EXEC) === 0 ? address : undefined;
}
