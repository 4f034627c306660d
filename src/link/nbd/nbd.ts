import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readUsage, readVitals } from "../../os/process-stat.ts";
import type { DriverRef, IncarnationEvents, Incarnations, Usage, Vitals } from "../../shadow/ports.ts";
import { Guardian } from "../guardian.ts";
import { oneLine } from "../opening.ts";
import { newMark } from "../process-mark.ts";
import type { Arenas } from "../shared-arenas.ts";
import { NbdIncarnation, type NbdOrder } from "./incarnation.ts";
import { RemoteServer } from "./remote-server.ts";
import type { NbdServerEvents, NbdServerRun } from "./server-run.ts";
import type { NbdSource } from "./source.ts";
import { SpawnedServer } from "./spawned-server.ts";

export interface NbdIncarnationsOptions {
  readonly sourceOf: (driver: DriverRef) => NbdSource;
  readonly wantsWrites: boolean;
  readonly memory: Arenas;
  readonly events: IncarnationEvents;
  /** A line that the server printed, or on it. */
  readonly output: (line: string) => void;
  /** Makes a mark for the processes of its servers: see {@link newMark}. One that names no store if left out. */
  readonly mark?: () => string;
}

/**
 * Makes NBD servers the drivers: those that we start, kill and start again, and those that are there anyway. They give no
 * sign of life but their replies.
 */
export class NbdIncarnations implements Incarnations {
  readonly #options: NbdIncarnationsOptions;
  readonly #living = new Map<number, NbdIncarnation>();
  /** One for all of them: at most one of them runs. */
  #mark: string | undefined;
  #sockets: string | undefined;
  #guardian: Guardian | undefined;
  /** Drivers that have opened at least once. */
  readonly #proven = new Set<DriverRef>();

  constructor(options: NbdIncarnationsOptions) {
    this.#options = options;
  }

  start(epoch: number, driver: DriverRef): void {
    const { sourceOf, events } = this.#options;
    const source = sourceOf(driver);
    try {
      const incarnation = new NbdIncarnation(this.#order(epoch, source, this.#proven.has(driver)), {
        events,
        serve: (serverEvents) => this.#serve(epoch, source, serverEvents),
        opened: () => {
          this.#proven.add(driver);
        },
        exited: (gone, kind, how) => {
          this.#living.delete(gone);
          events.exited(gone, kind, how);
        },
      });
      this.#living.set(epoch, incarnation);
    } catch (error) {
      setImmediate(() => {
        events.openFailed(epoch, `Cannot start the NBD server: ${oneLine(error)}, a process was wanted`);
        events.exited(epoch, "open-failed", "not started");
      });
    }
  }

  close(epoch: number): void {
    this.#living.get(epoch)?.close();
  }

  kill(epoch: number): void {
    this.#living.get(epoch)?.kill();
  }

  /** What there is to load, a server loads when it is started, and its store along with it. */
  prepare(_driver: DriverRef, done: (failure: string | undefined) => void): void {
    setImmediate(done, undefined);
  }

  unprepare(): void {}

  ping(): void {}

  beat(): undefined {}

  vitals(epoch: number): Vitals | undefined {
    const pid = this.pid(epoch);
    // Which of its threads does the work is its own affair.
    return pid === undefined ? undefined : readVitals(pid, { whole: true });
  }

  usage(epoch: number): Usage | undefined {
    const pid = this.pid(epoch);
    const usage = pid === undefined ? undefined : readUsage(pid);
    return usage && { ...usage, lagMs: undefined };
  }

  /** The server's process, where it is ours and runs. */
  pid(epoch: number): number | undefined {
    return this.#living.get(epoch)?.pid;
  }

  /** All incarnations must have exited. */
  dispose(): void {
    this.#guardian?.dismiss();
    if (this.#sockets !== undefined) rmSync(this.#sockets, { recursive: true, force: true });
  }

  /** `isProven`: it has served before. */
  #order(epoch: number, source: NbdSource, isProven: boolean): NbdOrder {
    const { wantsWrites, memory, output } = this.#options;
    return {
      epoch,
      connections: source.connections,
      wantsWrites,
      // A mistyped address should be told at once; a server that has been there will be back.
      waits: source.type === "command" || isProven,
      onProbation: source.type === "command" && !isProven,
      memory,
      output,
    };
  }

  #serve(epoch: number, source: NbdSource, events: NbdServerEvents): NbdServerRun {
    if (source.type === "server") return new RemoteServer(source, events);
    const { output, mark = () => newMark([]) } = this.#options;
    this.#mark ??= mark();
    this.#sockets ??= mkdtempSync(join(tmpdir(), "skink-servers-"));
    if (this.#guardian?.watches !== true) this.#guardian = new Guardian(this.#mark, this.#sockets);
    const { command, folder, name } = source;
    const sockets = this.#sockets;
    return new SpawnedServer({ epoch, command, folder, name, sockets, mark: this.#mark, output }, events);
  }
}
