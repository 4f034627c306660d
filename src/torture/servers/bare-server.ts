import { join } from "node:path";
import type { FaultKind } from "../../block/fault.ts";
import type { CommandSource } from "../../link/nbd/source.ts";
import { SpawnedServer } from "../../link/nbd/spawned-server.ts";
import type { Address } from "../../nbd/uri.ts";
import { isListening } from "./listening.ts";

/** From the end of a server to the start of the next one: what supervisors wait, systemd's RestartSec for one. */
export const RESTART_DELAY_MS = 100;
/** How often is looked whether it listens. */
const LOOK_MS = 5;
/** All of them have the same socket: clients come back to where they were. */
const EPOCH = 1;

export interface BareServerEvents {
  /** A process runs. */
  started(pid: number): void;
  /** It takes clients. */
  listening(): void;
  /** It has ended, by no wish of ours. `how`: one line. The next one follows by itself. */
  ended(kind: FaultKind, how: string): void;
  /** A line that it printed. */
  output(line: string): void;
}

/** A server that is started again whenever it ends, at the same socket, as a supervisor would do it: nobody looks what it has lost. */
export class BareServer {
  /** Where it listens; its file comes and goes with it. */
  readonly address: Address & { readonly path: string };
  readonly #source: CommandSource;
  readonly #sockets: string;
  readonly #mark: string;
  readonly #events: BareServerEvents;
  #running: SpawnedServer | undefined;
  #looking: NodeJS.Timeout | undefined;
  #waiting: NodeJS.Timeout | undefined;
  #hasEnded = false;
  readonly #gone = Promise.withResolvers<void>();

  /** `sockets`: a folder that exists; `mark`: see link/process-mark.ts. Nothing runs yet. */
  constructor(source: CommandSource, sockets: string, mark: string, events: BareServerEvents) {
    this.#source = source;
    this.#sockets = sockets;
    this.#mark = mark;
    this.#events = events;
    this.address = { path: join(sockets, `${EPOCH}`, "nbd.sock") };
  }

  get pid(): number | undefined {
    return this.#running?.pid;
  }

  start(): void {
    const { command, folder, name } = this.#source;
    const { output } = this.#events;
    const order = { epoch: EPOCH, command, folder, name, sockets: this.#sockets, mark: this.#mark, output };
    const server = new SpawnedServer(order, {
      ended: (kind, how) => {
        clearInterval(this.#looking);
        if (!this.#hasEnded) this.#events.ended(kind, how);
      },
      gone: () => this.#next(),
    });
    this.#running = server;
    this.#looking = setInterval(() => {
      if (!isListening(this.address.path)) return;
      clearInterval(this.#looking);
      this.#events.listening();
    }, LOOK_MS);
    if (server.pid !== undefined) this.#events.started(server.pid);
  }

  /** For good, by force: its store is thrown away with it. Resolves when nothing of it runs. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    clearTimeout(this.#waiting);
    clearInterval(this.#looking);
    if (this.#running === undefined) return;
    this.#running.kill();
    await this.#gone.promise;
  }

  #next(): void {
    this.#running = undefined;
    if (this.#hasEnded) return this.#gone.resolve();
    this.#waiting = setTimeout(() => this.start(), RESTART_DELAY_MS);
  }
}
