import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { reapChild } from "../os/memory-holder.ts";
import { readStat } from "../os/process-stat.ts";

/** How often to look whether the kernel has taken the memory apart. */
const POLL_MS = 2;

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
   * Whether the kernel may still have requests of the host in hand: those of its asynchronous I/O (io_submit) belong to the
   * memory, and end with it. All others have ended with the host.
   */
  get hasRequests(): boolean {
    try {
      // Where the whole machine has none, that is quickly told.
      if (readFileSync("/proc/sys/fs/aio-nr", "latin1").trim() === "0") return false;
    } catch {
      // Not every kernel counts them.
    }
    try {
      return readFileSync(`/proc/${this.pid}/maps`, "latin1").includes("[aio]");
    } catch {
      // It is gone, and they with it.
      return false;
    }
  }

  /** The host is reaped: ends the holder, and resolves when the memory is gone. */
  async release(): Promise<void> {
    process.kill(this.pid, "SIGKILL");
    while (!reapChild(this.pid)) await delay(POLL_MS);
  }
}
