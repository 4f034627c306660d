import { closeSync, ftruncateSync } from "node:fs";
import { checked, libc } from "./libc.ts";

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;

/** Nobody can change the set of seals any more. */
export const SEAL_SEAL = 1;
/** The file cannot shrink: a mapping never faults with SIGBUS. */
const SEAL_SHRINK = 2;
const SEAL_GROW = 4;
/** No new writable mapping and no write call; writable mappings made before stay writable. */
export const SEAL_FUTURE_WRITE = 16;
/** What each memfd that crosses a process boundary carries. */
export const SEALED_SIZE = SEAL_SHRINK | SEAL_GROW;

const memfdCreate: (name: string, flags: number) => number = libc.func(
  "int memfd_create(const char *name, unsigned int flags)",
);
const fcntlInt: (fd: number, command: number, argument: number) => number = libc.func(
  "int fcntl(int fd, int command, int argument)",
);

/** Makes memory that can be passed by descriptor, `bytes` long for good. The caller closes the descriptor. */
export function createMemfd(name: string, bytes: number): number {
  const fd = checked("memfd_create", memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  try {
    ftruncateSync(fd, bytes);
    addSeals(fd, SEALED_SIZE);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export function addSeals(fd: number, seals: number): void {
  checked("fcntl(F_ADD_SEALS)", fcntlInt(fd, F_ADD_SEALS, seals));
}

/** The seals of a memfd. Throws EINVAL for a file of any other kind. */
export function getSeals(fd: number): number {
  return checked("fcntl(F_GET_SEALS)", fcntlInt(fd, F_GET_SEALS, 0));
}
