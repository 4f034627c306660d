import { libc } from "./libc.ts";
import { mapCode } from "./mmap.ts";

const CLONE_VM = 0x100;
const CLONE_PARENT = 0x8000;
const WNOHANG = 1;
/** Wait for children of `clone` that send no signal when they end, too. */
const WALL = 0x4000_0000;

/** Of the code, which is in the first page, and the stack, which grows down from the end. */
const BYTES = 16384;

const clone: (code: bigint, stack: bigint, flags: number, argument: null) => number = libc.func(
  "int clone(void *fn, void *stack, int flags, void *arg)",
);
const waitpid: (pid: number, status: null, options: number) => number = libc.func(
  "int waitpid(int pid, void *status, int options)",
);

/**
 * Makes a process that holds this one's memory: it has the same address space, no descriptors, and does nothing until it is
 * killed. When this process dies, the kernel has then no memory to take apart, which takes longer than anything else about a death: it
 * is gone, and its parent told of it, in half a millisecond instead of some tens. The holder is a child of this process' own
 * parent, in a process group of its own, and dies with that parent; whoever reaps this process has to kill and reap the holder.
 *
 * To be called before there is anything that nobody else may have: it has copies of all descriptors for a moment.
 *
 * `parent`: this process' parent. Returns the holder's process id; `undefined` where it can't be had: another processor, or a
 * machine that allows no code to be made.
 */
export function holdMemory(parent: number): number | undefined {
  if (process.arch !== "x64") return undefined;
  const page = mapCode(holderCode(parent), BYTES);
  if (page === undefined) return undefined;
  const pid = clone(page, page + BigInt(BYTES), CLONE_VM | CLONE_PARENT, null);
  return pid > 0 ? pid : undefined;
}

/** Takes notice of the end of a child, if it has ended. Not for processes that Node started: it waits for these itself. */
export function reapChild(pid: number): boolean {
  return waitpid(pid, null, WNOHANG | WALL) !== 0;
}

/**
 * No JavaScript can run in the holder, and no C either that uses its thread's own data, which it shares with this process. So it
 * is spelled out for x86-64, system calls only: number in eax, arguments in edi, esi, edx.
 */
function holderCode(parent: number): Uint8Array {
  const u32 = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
  const syscall = (number: number): number[] => [0xb8, ...u32(number), 0x0f, 0x05];
  const edi = (value: number): number[] => [0xbf, ...u32(value)];
  const esi = (value: number): number[] => [0xbe, ...u32(value)];
  const edx = (value: number): number[] => [0xba, ...u32(value)];
  const pause = syscall(34);
  const forever = [...pause, 0xeb, 256 - pause.length - 2];
  return Uint8Array.from([
    // close_range(0, ~0, 0)
    ...[...edi(0), ...esi(-1), ...edx(0), ...syscall(436)],
    // setpgid(0, 0)
    ...[...edi(0), ...esi(0), ...syscall(109)],
    // prctl(PR_SET_PDEATHSIG, SIGKILL)
    ...[...edi(1), ...esi(9), ...syscall(157)],
    // if (getppid() == parent) for (;;) pause();
    ...[...syscall(110), 0x3d, ...u32(parent), 0x75, forever.length, ...forever],
    // exit(0)
    ...[...edi(0), ...syscall(60)],
  ]);
}
