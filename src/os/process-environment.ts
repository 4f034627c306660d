import { closeSync, openSync, readSync } from "node:fs";
import { isGone, isInReach, threadsOf } from "./process-id.ts";
import { type ProcessStat, readStat } from "./process-stat.ts";

/** Nearly all are shorter. */
const USUAL_BYTES = 65536;
/** No program can be given more: execve(2), "Limits on size of arguments and environment". */
const MAX_BYTES = 6 << 20;

const usual = Buffer.allocUnsafe(USUAL_BYTES);
const NOTHING = usual.subarray(0, 0);

/**
 * The environment that the program of a process was given: `NAME=value`, each with a zero byte behind it. Valid until the next call.
 * Empty for good where there is none: a thread of the kernel's, one that was started without (`env -i`), one that is gone
 * or is somebody else's, which may not be looked at. Undefined where a look tells nothing, and another one has to follow:
 *
 * - An exec has taken the old environment away, and the new one can't be seen yet.
 * - The process ends. Its memory goes first, and the environment with it; then its files. Children of this process are not asked for
 *   more: whoever has started them is told of their end.
 *
 * `stat` is of just before. Throws where the machine doesn't let it look, for want of descriptors, say.
 */
export function environmentOf(pid: string, stat: ProcessStat): Buffer | undefined {
  if (stat.isKernels) return NOTHING;
  let environment = ofThread(pid, stat);
  if (environment !== undefined) return environment;
  // It belongs to the memory, which a thread has until it ends: the first may have ended before the others.
  for (const thread of threadsOf(pid)) {
    const path = `${pid}/task/${thread}`;
    const itsStat = thread === pid ? undefined : readStat(path);
    if (itsStat !== undefined) environment = ofThread(path, itsStat);
    if (environment !== undefined) return environment;
  }
  const id = { pid: Number(pid), started: stat.startTicks };
  return endsAsOurChild(stat) || !isInReach(id.pid) || isGone(id) ? NOTHING : undefined;
}

/** The first process of a container is the parent of all those that have lost theirs. */
function endsAsOurChild({ isEnding, threads, parent }: ProcessStat): boolean {
  return isEnding && threads <= 1 && parent === process.pid && process.pid !== 1;
}

function ofThread(path: string, stat: ProcessStat): Buffer | undefined {
  const environment = read(`/proc/${path}/environ`);
  return environment.length > 0 || stat.environment === "none" ? environment : undefined;
}

/** In one call, since an exec between two of them would end the first's memory: so it is whole, or empty. */
function read(path: string): Buffer {
  try {
    const fd = openSync(path, "r");
    try {
      const length = readSync(fd, usual, 0, USUAL_BYTES, 0);
      if (length < USUAL_BYTES) return usual.subarray(0, length);
      const long = Buffer.allocUnsafe(MAX_BYTES);
      return long.subarray(0, readSync(fd, long, 0, MAX_BYTES, 0));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    // Gone, without memory, or not to be looked at: kernels differ in what they say of which.
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(code)) return NOTHING;
    throw error;
  }
}
