import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { reapChild } from "../os/memory-holder.ts";
import { readStat } from "../os/process-stat.ts";

/** How often to look whether the kernel has taken the memory apart. */
const POLL_MS = 2;
/** A line of proc_pid_maps(5) of something shared, but for memory: the front's and the host's own is in memory files. */
const SHARED_FILE = /^\S+ ...s \S+ \S+ \d+ +(?!\/memfd:|\/dev\/zero)\//m;

/**
 * The process that holds the memory of a driver host (src/os/memory-holder.ts), as the front sees it: a child of its own. It
 * runs nothing of the driver's.
 */
export class MemoryHolder {
  readonly pid: number;

  private constructor(pid: number) {
    this.pid = pid;
  }

  /** The one that a host has named, if it is what it says; a host may be faulty. `host`: the host's process. */
  static named(pid: number, host: number): MemoryHolder | undefined {
    const stat = readStat(pid);
    const isOurs = stat?.parent === process.pid && stat.session === host && pid !== host;
    return isOurs ? new MemoryHolder(pid) : undefined;
  }

  /** The one of a host that has died before it could name it. */
  static found(host: number): MemoryHolder | undefined {
    for (const name of readdirSync("/proc")) {
      const holder = /^\d+$/.test(name) ? MemoryHolder.named(Number(name), host) : undefined;
      if (holder !== undefined) return holder;
    }
    return undefined;
  }

  /**
   * Whether the next incarnation has to wait for its end. What the kernel still has in hand of the host's asynchronous I/O (io_submit) belongs
   * to the memory, and ends with it; and a file that is mapped shared stays open, with the locks that it has. All else has ended with the host.
   */
  get isInTheWay(): boolean {
    try {
      const maps = readFileSync(`/proc/${this.pid}/maps`, "latin1");
      return maps.includes("[aio]") || SHARED_FILE.test(maps);
    } catch (error) {
      // It is gone, and they with it. Where the machine doesn't let us look, it counts as in the way.
      return !["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");
    }
  }

  /** The host is reaped: ends the holder, and resolves when the memory is gone. */
  async release(): Promise<void> {
    process.kill(this.pid, "SIGKILL");
    while (!reapChild(this.pid)) await delay(POLL_MS);
  }
}
