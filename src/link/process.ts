import { closeSync } from "node:fs";
import type { IncarnationEvents, Incarnations } from "../shadow/ports.ts";
import { type HostMessage, MAX_CODE_BYTES } from "./control.ts";
import { HostProcess } from "./host-process.ts";
import { KeptRegions, takeFile } from "./kept.ts";
import { type DriverSource, driverName, oneLine } from "./opening.ts";
import { DriverOutput } from "./output.ts";
import { RING_DEPTH } from "./ring.ts";
import type { SharedArenas } from "./shared-arenas.ts";

export interface ProcessIncarnationsOptions {
  readonly driver: DriverSource;
  readonly memory: SharedArenas;
  readonly events: IncarnationEvents;
  /** A line that the driver printed or logged, without its newline, bounded in length and rate. */
  readonly output: (line: string) => void;
  /** Submissions that may be outstanding: a power of two. */
  readonly depth?: number;
}

/**
 * Runs each incarnation of a driver in a process of its own, which shares with the front no more than payloads and
 * rings. Each has rings of its own, so nothing that a late one writes is ever read (P4).
 */
export class ProcessIncarnations implements Incarnations {
  readonly #options: ProcessIncarnationsOptions;
  readonly #hosts = new Map<number, HostProcess>();
  readonly #kept = new KeptRegions();
  #code: { fd: number; bytes: number } | undefined;

  constructor(options: ProcessIncarnationsOptions) {
    this.#options = options;
  }

  start(epoch: number): void {
    const { driver, memory, events, output, depth } = this.#options;
    try {
      const host = new HostProcess(
        {
          epoch,
          driver,
          memory,
          depth: depth ?? RING_DEPTH,
          kept: this.#kept.list(),
          code: this.#code,
          output: new DriverOutput(output),
        },
        {
          events,
          take: (pid, message) => this.#take(pid, message),
          openFailed: (failed, message) => {
            // Should what an earlier host has left be at fault, the next one does without.
            this.#setCode(undefined);
            events.openFailed(failed, message);
          },
          exited: (gone, how) => {
            this.#hosts.delete(gone);
            events.exited(gone, how);
          },
        },
      );
      this.#hosts.set(epoch, host);
    } catch (error) {
      setImmediate(() => {
        events.openFailed(epoch, `Cannot start driver ${driverName(driver)}: ${oneLine(error)}, a process was wanted`);
        events.exited(epoch, "not started");
      });
    }
  }

  close(epoch: number): void {
    this.#hosts.get(epoch)?.close();
  }

  kill(epoch: number): void {
    this.#hosts.get(epoch)?.kill();
  }

  /** The process of a living incarnation. */
  pid(epoch: number): number | undefined {
    return this.#hosts.get(epoch)?.pid;
  }

  /** Forgets what incarnations have kept. All of them must have exited. */
  dispose(): void {
    this.#kept.close();
    this.#setCode(undefined);
  }

  #take(pid: number, message: HostMessage & { type: "opened" }): void {
    this.#kept.take(pid, message.kept);
    if (message.code === undefined || message.code.bytes > MAX_CODE_BYTES) return;
    this.#setCode({ fd: takeFile(pid, message.code), bytes: message.code.bytes });
  }

  #setCode(code: { fd: number; bytes: number } | undefined): void {
    if (this.#code !== undefined) closeSync(this.#code.fd);
    this.#code = code;
  }
}
