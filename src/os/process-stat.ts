import { readdirSync, readFileSync, statSync } from "node:fs";
import { libc } from "./libc.ts";

const getpagesize: () => number = libc.func("int getpagesize()");

/** The unit of times in /proc/<pid>/stat: USER_HZ, which is the same on all machines that Node runs on. */
const TICK_MS = 10;
const NS_PER_MS = 1e6;
/** Flags in /proc/<pid>/stat: PF_EXITING and PF_KTHREAD of the kernel's include/linux/sched.h. */
const EXITING = 0x4;
const KERNEL_THREAD = 0x20_0000;

/** What the kernel says of a process. Times in milliseconds since its start. */
export interface ProcessVitals {
  /** CPU time of its first thread, or of the whole process. */
  readonly cpuMs: number;
  /** How long its threads were ready and had no core, all together. A wait counts once it is over. */
  readonly starvedMs: number;
  /** Its first thread is on a core, or waits for one. */
  readonly ready: boolean;
  /** Stopped by a signal. Not by a debugger, which has its own reasons. */
  readonly suspended: boolean;
  /** One of its threads is in an uninterruptible wait. */
  readonly inKernel: boolean;
}

export interface ProcessUsage {
  /**
   * Memory that is the process's own. What is mapped from files, its program's code, say, is the machine's, which takes it
   * back; what is shared, as arenas are, was somebody else's decision.
   */
  readonly residentBytes: number;
  readonly openFiles: number;
}

export interface ProcessStat {
  /** One letter: R, S, D, T, t, Z, X, …. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** CPU time of all its threads, those that have ended too, in steps of 10 ms. */
  readonly cpuMs: number;
  /** The same of its children that have ended and that it has taken notice of. */
  readonly childrenCpuMs: number;
  /** The first one counts until the process is reaped, the others until they have ended. 0 while it is being reaped. */
  readonly threads: number;
  /** When it was started, in clock ticks since the machine was: with its number, what tells it from all others. */
  readonly startTicks: number;
  /** A thread of the kernel's own: it has no program. */
  readonly isKernels: boolean;
  /** It is on its way out: its memory goes first, its files later. */
  readonly isEnding: boolean;
  /**
   * Whether its program was given an environment. `unknown`: an exec hasn't come so far yet, or it has no memory any more. Where it may
   * not be looked at, there is `none`.
   */
  readonly environment: "some" | "none" | "unknown";
}

/**
 * `whole`: CPU time is that of all threads together. Undefined where the process is gone, even if nobody has reaped it yet,
 * or may not be looked at. Takes a fifth of a millisecond for a process with a dozen threads.
 */
export function readVitals(pid: number, options?: { readonly whole: boolean }): ProcessVitals | undefined {
  const stat = readStat(pid);
  const threads = list(`/proc/${pid}/task`);
  if (stat === undefined || threads === undefined || hasEnded(stat)) return undefined;
  const first = options?.whole === true ? undefined : schedule(`/proc/${pid}`);
  let starvedMs = 0;
  let inKernel = false;
  for (const thread of threads) {
    // One that has just ended has nothing to say.
    const folder = `/proc/${pid}/task/${thread}`;
    starvedMs += schedule(folder)?.waitedMs ?? 0;
    inKernel ||= parseStat(read(`${folder}/stat`))?.state === "D";
  }
  const { state } = stat;
  return {
    cpuMs: first?.ranMs ?? stat.cpuMs,
    starvedMs,
    ready: state === "R",
    suspended: state === "T",
    inKernel,
  };
}

/** Undefined where the process is gone, or may not be looked at. */
export function readUsage(pid: number): ProcessUsage | undefined {
  // proc_pid_statm(5), in pages: size resident shared …. Shared is all that is not anonymous.
  const [, resident, shared] = read(`/proc/${pid}/statm`)?.split(" ") ?? [];
  const openFiles = countFiles(`/proc/${pid}/fd`);
  if (resident === undefined || resident === "0" || shared === undefined || openFiles === undefined) return undefined;
  return { residentBytes: (Number(resident) - Number(shared)) * getpagesize(), openFiles };
}

/** Undefined where there is no such process. */
export function readStat(pid: number | string): ProcessStat | undefined {
  return parseStat(read(`/proc/${pid}/stat`));
}

/** Whether only its parent still has to take notice: it can't touch anything any more. */
export function hasEnded({ state }: ProcessStat): boolean {
  return state === "Z" || state === "X";
}

/** How many processes the kernel has killed for want of memory since the machine was started. */
export function oomKills(): number {
  return Number(/^oom_kill (\d+)$/m.exec(read("/proc/vmstat") ?? "")?.[1] ?? 0);
}

/**
 * proc_pid_stat(5): pid (command) state ppid pgrp session … utime stime cutime cstime …, these being fields 14 to 17, …
 * num_threads, field 20, … starttime, field 22. startcode is field 26, env_start and env_end are 50 and 51.
 *
 * An exec has new memory from a certain step on, all of whose addresses are 0; it writes the bounds of the environment next, and
 * where the code begins after that (load_elf_binary in the kernel's fs/binfmt_elf.c). So who is told of code is told the true
 * bounds. To those who may not know startcode is 1, and the bounds are 0.
 */
function parseStat(text: string | undefined): ProcessStat | undefined {
  if (text === undefined) return undefined;
  // The command may hold anything, parentheses too.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state = "", parent, group, session] = fields;
  const ids = { parent: Number(parent), group: Number(group), session: Number(session) };
  // The state is field 3.
  const timeMs = (field: number): number => Number(fields[field - 3]) * TICK_MS;
  const times = { cpuMs: timeMs(14) + timeMs(15), childrenCpuMs: timeMs(16) + timeMs(17) };
  const flags = Number(fields[9 - 3]);
  const isSettled = fields[26 - 3] !== "0";
  const hasVariables = fields[50 - 3] !== fields[51 - 3];
  return {
    state,
    ...ids,
    ...times,
    threads: Number(fields[20 - 3]),
    startTicks: Number(fields[22 - 3]),
    isKernels: (flags & KERNEL_THREAD) !== 0,
    isEnding: (flags & EXITING) !== 0,
    environment: !isSettled ? "unknown" : hasVariables ? "some" : "none",
  };
}

/** What a thread has had of the cores: nanoseconds on one, nanoseconds ready without one. Not every kernel counts them. */
function schedule(folder: string): { ranMs: number; waitedMs: number } | undefined {
  const [ran, waited] = read(`${folder}/schedstat`)?.split(" ") ?? [];
  if (ran === undefined || waited === undefined) return undefined;
  return { ranMs: Number(ran) / NS_PER_MS, waitedMs: Number(waited) / NS_PER_MS };
}

/** From Linux 6.2 on the folder's size is their number, so that a hundred thousand of them need not be listed. */
function countFiles(folder: string): number | undefined {
  try {
    return statSync(folder).size || readdirSync(folder).length;
  } catch {
    return undefined;
  }
}

/** A process may end at any time, and the front may be short of descriptors: then nothing is known of it. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function list(folder: string): string[] | undefined {
  try {
    return readdirSync(folder);
  } catch {
    return undefined;
  }
}
