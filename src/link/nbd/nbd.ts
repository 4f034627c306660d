import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IncarnationEvents, Incarnations } from "../../shadow/ports.ts";
import { oneLine } from "../opening.ts";
import type { Arenas } from "../shared-arenas.ts";
import { Guardian } from "./guardian.ts";
import { NbdIncarnation, type NbdOrder } from "./incarnation.ts";
import { RemoteServer } from "./remote-server.ts";
import type { NbdServerEvents, NbdServerRun } from "./server-run.ts";
import type { CommandSource, RemoteSource } from "./source.ts";
import { SpawnedServer } from "./spawned-server.ts";

export interface NbdIncarnationsOptions {
  readonly source: RemoteSource | CommandSource;
  readonly wantsWrites: boolean;
  readonly memory: Arenas;
  readonly events: IncarnationEvents;
  /** A line that the server printed, or on it. */
  readonly output: (line: string) => void;
}

/** Makes an NBD server the driver: one that we start, kill and start again, or one that is there anyway. */
export class NbdIncarnations implements Incarnations {
  readonly #options: NbdIncarnationsOptions;
  readonly #living = new Map<number, NbdIncarnation>();
  readonly #mark = randomUUID();
  #sockets: string | undefined;
  #guardian: Guardian | undefined;
  #everOpened = false;

  constructor(options: NbdIncarnationsOptions) {
    this.#options = options;
  }

  start(epoch: number): void {
    const { source, events } = this.#options;
    try {
      const incarnation = new NbdIncarnation(this.#order(epoch), {
        events,
        serve: (serverEvents) => this.#serve(epoch, source, serverEvents),
        opened: () => {
          this.#everOpened = true;
        },
        exited: (gone, how) => {
          this.#living.delete(gone);
          events.exited(gone, how);
        },
      });
      this.#living.set(epoch, incarnation);
    } catch (error) {
      setImmediate(() => {
        events.openFailed(epoch, `Cannot start the NBD server: ${oneLine(error)}, a process was wanted`);
        events.exited(epoch, "not started");
      });
    }
  }

  close(epoch: number): void {
    this.#living.get(epoch)?.close();
  }

  kill(epoch: number): void {
    this.#living.get(epoch)?.kill();
  }

  /** The server's process, where it is ours. */
  pid(epoch: number): number | undefined {
    return this.#living.get(epoch)?.pid;
  }

  /** All incarnations must have exited. */
  dispose(): void {
    this.#guardian?.dismiss();
    if (this.#sockets !== undefined) rmSync(this.#sockets, { recursive: true, force: true });
  }

  #order(epoch: number): NbdOrder {
    const { source, wantsWrites, memory, output } = this.#options;
    return {
      epoch,
      connections: source.connections,
      wantsWrites,
      // A mistyped address should be told at once; a server that has been there will be back.
      waits: source.type === "command" || this.#everOpened,
      onProbation: source.type === "command" && !this.#everOpened,
      memory,
      output,
    };
  }

  #serve(epoch: number, source: RemoteSource | CommandSource, events: NbdServerEvents): NbdServerRun {
    if (source.type === "server") return new RemoteServer(source, events);
    this.#sockets ??= mkdtempSync(join(tmpdir(), "skink-servers-"));
    if (this.#guardian?.watches !== true) this.#guardian = new Guardian(this.#mark, this.#sockets);
    const { command, folder, name } = source;
    const { output } = this.#options;
    const sockets = this.#sockets;
    return new SpawnedServer({ epoch, command, folder, name, sockets, mark: this.#mark, output }, events);
  }
}
