import { checked, libc } from "./libc.ts";

const PR_SET_PDEATHSIG = 1;

const prctl: (option: number, a: number, b: number, c: number, d: number) => number = libc.func(
  "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
);
const getppid: () => number = libc.func("int getppid()");

/**
 * Has the kernel send this process `signal` when its parent dies, whatever this process is doing then. A parent with several
 * threads dies one by one, and passes its children on from each to the next: the signal may come several times. Returns the parent's
 * process id, to be compared with the one expected: it may have died before.
 */
export function dieWithParent(signal: number): number {
  checked("prctl(PR_SET_PDEATHSIG)", prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0));
  return getppid();
}
