import { readFileSync } from "node:fs";

/**
 * Tells the processes that were started since this was made from all older ones by their numbers: the kernel gives these in turn, and
 * passes over those that are in use (alloc_pid in its kernel/pid.c). Somebody who restores a process from a checkpoint may choose its
 * number, and is not heard of here.
 */
export class NumbersSince {
  readonly #from = lastNumber();
  readonly #starts = starts();

  /**
   * Whether numbers tell nothing: they may have come round since then, or the kernel doesn't say. Half of them is a wide margin, for
   * those whose process was given up in its start, and for what is started while somebody goes by this answer.
   */
  get tellNothing(): boolean {
    const [now, tasks] = [starts(), numberIn("/proc/loadavg", /\/(\d+) /)];
    const all = numberIn("/proc/sys/kernel/pid_max", /^(\d+)$/m);
    if (this.#from === undefined || this.#starts === undefined) return true;
    return now === undefined || tasks === undefined || all === undefined || now - this.#starts + tasks > all / 2;
  }

  /** Tells those of the time from then until now. */
  untilNow(): (number: number) => boolean {
    const [from, to] = [this.#from, lastNumber()];
    if (from === undefined || to === undefined) return () => true;
    return from <= to ? (number) => from < number && number <= to : (number) => from < number || number <= to;
  }
}

/** The last number that was given to a process or thread. */
function lastNumber(): number | undefined {
  return numberIn("/proc/sys/kernel/ns_last_pid", /^(\d+)$/m);
}

/** Processes and threads that were started since the machine was, in all of its containers. */
function starts(): number | undefined {
  return numberIn("/proc/stat", /^processes (\d+)$/m);
}

function numberIn(path: string, pattern: RegExp): number | undefined {
  try {
    const [, digits] = pattern.exec(readFileSync(path, "latin1")) ?? [];
    return digits === undefined ? undefined : Number(digits);
  } catch {
    return undefined;
  }
}
