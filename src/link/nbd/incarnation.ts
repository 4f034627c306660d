import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../../block/errors.ts";
import type { FaultKind } from "../../block/fault.ts";
import { isWriter } from "../../block/request.ts";
import { difference } from "../../nbd/client/agreement.ts";
import { type Established, establish } from "../../nbd/client/establish.ts";
import { ClientTransmission } from "../../nbd/client/transmission.ts";
import { hasEnded, readStat } from "../../os/process-stat.ts";
import type { DriverInfo, IncarnationEvents } from "../../shadow/ports.ts";
import type { Arenas } from "../shared-arenas.ts";
import { NbdLink } from "./nbd-link.ts";
import type { Part } from "./part.ts";
import { deviceOf, featuresOf } from "./server-features.ts";
import type { LastWriters, NbdServerEvents, NbdServerRun } from "./server-run.ts";

/** How often a server that isn't there yet is looked for. */
const RETRY_MS = 10;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A server that serves a few clients at a time lets the others wait for a greeting. */
const MORE_TIMEOUT_MS = 500;
/** One that goes into the background ends right after it has begun to listen: so long is it watched, the first time. */
const BACKGROUND_MS = 50;
/** A process that ends closes its connections first. So long is its end waited for, which says more than that it hung up. */
const LAST_BREATH_MS = 50;
/** A server elsewhere may be busy with others, and a network is between. */
const REMOTE_PATIENCE = 10;

export interface NbdOrder {
  readonly epoch: number;
  /** Connections that are made where the server can flush them all at once; one where it can't. */
  readonly connections: number;
  readonly wantsWrites: boolean;
  /** A server that isn't there is waited for. */
  readonly waits: boolean;
  /** The first of our servers: a command that doesn't stay in the foreground is to be found out. */
  readonly onProbation: boolean;
  readonly memory: Arenas;
  readonly output: (line: string) => void;
}

/** What its owner does for an incarnation, apart from listening to its events. */
export interface NbdOwner {
  readonly events: IncarnationEvents;
  /** Starts the server. Throws where that can't be. */
  serve(events: NbdServerEvents): NbdServerRun;
  opened(): void;
  /** It is gone: the last that is heard of it. */
  exited(epoch: number, kind: FaultKind, how: string): void;
}

/**
 * One incarnation of a foreign server.
 *
 *   connecting ──handshakes──▶ open ──close──▶ closing ──goodbyes──┐
 *        │                       │ │              │                ▼
 *        │ refused, kill    kill │ └lost▶ faulty  │ kill       the server closes ──▶ gone
 *        │                       │          │kill │
 *        └──────────▶ ending ◀───┴──────────┴─────┘
 *                       │ the server is killed, if ours; or has answered what it has, or is left alone for a while
 *                       └───────────────────────────────────────────────────────────▶ gone
 */
type State = "connecting" | "open" | "faulty" | "closing" | "ending" | "gone";

export class NbdIncarnation {
  readonly #order: NbdOrder;
  readonly #owner: NbdOwner;
  readonly #server: NbdServerRun;
  readonly #attempts = new AbortController();
  #state: State = "connecting";
  /** Our server's process has ended; what it has left behind is being killed. */
  #serverEnded = false;
  #link: NbdLink | undefined;
  /** The connections that are not over. */
  readonly #connections = new Set<ClientTransmission<Part>>();
  /** Unless all are answered, something that the server was sent may land late. */
  #lastWriters: LastWriters = "answered";
  /** Our server has hung up: whether it ends is to be seen. */
  #lastBreath: NodeJS.Timeout | undefined;
  /** What comes to pass when the last connection is over. */
  #whenAllOver: (() => void) | undefined;

  constructor(order: NbdOrder, owner: NbdOwner) {
    this.#order = order;
    this.#owner = owner;
    this.#server = owner.serve({
      ended: (kind, how) => {
        this.#serverEnded = true;
        this.#fault(kind, `the NBD server has ended: ${how}`);
      },
      gone: (kind, how) => this.#gone(kind, how),
    });
    this.#open().catch((error: unknown) => {
      if (this.#attempts.signal.aborted) return;
      if (!(error instanceof SkinkError)) throw error;
      this.#openFailed(error.message);
    });
  }

  get pid(): number | undefined {
    return this.#server.pid;
  }

  /** Waits for the replies that are missing, says goodbye on each connection, then has the server end. */
  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#whenAllOver = () => this.#server.close();
    this.#sayGoodbye();
    this.#tellAllOver();
  }

  kill(): void {
    if (this.#state === "ending" || this.#state === "gone") return;
    this.#state = "ending";
    clearTimeout(this.#lastBreath);
    this.#attempts.abort();
    this.#link?.end();
    const { ours, patienceMs } = this.#server;
    if (ours) this.#server.kill("answered");
    const timer = patienceMs === undefined ? undefined : setTimeout(() => this.#cut(), patienceMs);
    this.#whenAllOver = () => {
      clearTimeout(timer);
      if (!ours) this.#server.kill(this.#lastWriters);
    };
    if (ours) this.#cut();
    else this.#drain();
    this.#tellAllOver();
  }

  async #open(): Promise<void> {
    const first = await this.#connect();
    if (this.#state !== "connecting") return first.stream.destroy();
    const { epoch, memory, wantsWrites } = this.#order;
    let info: DriverInfo;
    try {
      info = deviceOf(first.agreement, wantsWrites);
    } catch (error) {
      first.stream.destroy();
      throw error;
    }
    const { blockSize } = info.geometry;
    const features = featuresOf(first.agreement, blockSize);
    const patience = this.#server.ours ? 1 : REMOTE_PATIENCE;
    const link = new NbdLink({ epoch, blockSize, features, patience, memory, events: this.#owner.events });
    this.#link = link;
    const connections = [this.#transmit(first, link)];
    const [others] = await Promise.all([
      this.#connectMore(features.multiConn ? this.#order.connections - 1 : 0),
      this.#order.onProbation ? delay(BACKGROUND_MS) : undefined,
    ]);
    for (const other of others) {
      // Should the export have changed meanwhile, the first connection's word counts.
      if (difference(first.agreement, other.agreement) === undefined) connections.push(this.#transmit(other, link));
      else other.stream.destroy();
    }
    if (this.#state !== "connecting" || this.#serverEnded) return this.#cut();
    const rounded = first.agreement.size - info.geometry.size;
    if (rounded > 0)
      this.#order.output(`the last ${rounded} of its bytes are no whole block of ${blockSize}, and left out`);
    link.use(connections);
    this.#state = "open";
    this.#owner.opened();
    this.#owner.events.opened(epoch, info, link);
  }

  /** Connections beside the first; fewer, where the server doesn't take so many. */
  async #connectMore(count: number): Promise<Established[]> {
    const attempts = await Promise.allSettled(Array.from({ length: count }, () => this.#establish(MORE_TIMEOUT_MS)));
    return attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
  }

  async #connect(): Promise<Established> {
    const { waits } = this.#order;
    for (;;) {
      try {
        return await this.#establish(HANDSHAKE_TIMEOUT_MS);
      } catch (error) {
        if (!waits || !isAbsent(error)) throw error;
      }
      await delay(RETRY_MS, undefined, { signal: this.#attempts.signal });
    }
  }

  #establish(timeoutMs: number): Promise<Established> {
    return establish({ ...this.#server.target, timeoutMs, signal: this.#attempts.signal });
  }

  #transmit({ stream, agreement }: Established, link: NbdLink): ClientTransmission<Part> {
    const connection = new ClientTransmission<Part>(stream, agreement, {
      settled: (part, error) => link.settled(part, error),
      batchSettled: () => {
        link.batchSettled();
        if (this.#state === "closing" || this.#state === "ending") this.#sayGoodbye();
      },
      lost: (error, unsettled) => {
        this.#connections.delete(connection);
        if (unsettled.some(({ operation }) => isWriter(operation)) && this.#lastWriters !== "cutOff")
          this.#lastWriters = error.code === "bad-server" ? "cutOff" : "left";
        const what = connection.endedByServer ? "the NBD server closed its connection" : error.message;
        this.#lost(error.code === "bad-server" ? "protocol" : "disconnected", what);
      },
    });
    this.#connections.add(connection);
    connection.start();
    return connection;
  }

  #lost(kind: FaultKind, what: string): void {
    if (this.#state === "connecting") {
      this.#openFailed(what);
    } else if (this.#state === "open") {
      this.#link?.end();
      if (kind === "protocol" || !this.#server.ours) this.#fault(kind, what);
      else this.#lastBreath ??= setTimeout(() => this.#hungUp(what), LAST_BREATH_MS);
    }
    this.#tellAllOver();
  }

  #hungUp(what: string): void {
    const { pid } = this.#server;
    const stat = pid === undefined ? undefined : readStat(pid);
    // One that has ended, and is not reaped yet since the front was busy, is about to be.
    if (stat !== undefined && !hasEnded(stat)) this.#fault("disconnected", what);
  }

  #fault(kind: FaultKind, what: string): void {
    if (this.#state !== "open") return;
    this.#state = "faulty";
    clearTimeout(this.#lastBreath);
    this.#link?.end();
    this.#owner.events.fault(this.#order.epoch, kind, what);
  }

  #openFailed(message: string): void {
    // How our server has ended says more than what it left undone, and is told when all of it is gone.
    if (this.#state !== "connecting" || this.#serverEnded) return;
    this.#owner.events.openFailed(this.#order.epoch, message);
    this.kill();
  }

  #cut(): void {
    for (const connection of [...this.#connections]) connection.destroy();
  }

  /** Of a server that isn't ours, each reply that still comes proves that its request is over. */
  #drain(): void {
    // What was taken and is not sent yet would never have a reply.
    for (const connection of this.#connections) connection.send();
    this.#sayGoodbye();
  }

  /** To each connection whose requests all have their replies. */
  #sayGoodbye(): void {
    for (const connection of [...this.#connections]) {
      if (connection.outstanding > 0) continue;
      connection.disconnect();
      // Who gives up, and has all replies, need not see the server hang up, too: it may hang.
      if (this.#state === "ending") connection.destroy();
    }
  }

  #tellAllOver(): void {
    if (this.#connections.size > 0) return;
    const over = this.#whenAllOver;
    this.#whenAllOver = undefined;
    over?.();
  }

  #gone(kind: FaultKind, how: string): void {
    const { epoch, output } = this.#order;
    if (this.#state === "connecting") {
      const what = `it ended before it served (${how}), one that stays in the foreground was wanted`;
      this.#owner.events.openFailed(epoch, `Cannot open the NBD server: ${what}`);
    } else if (this.#state === "ending" && this.#link !== undefined) {
      output(`${this.#server.ours ? "the NBD server" : "the connection"} of epoch ${epoch} has ended: ${how}`);
    }
    this.#state = "gone";
    this.#attempts.abort();
    clearTimeout(this.#lastBreath);
    this.#link?.end();
    this.#whenAllOver = undefined;
    this.#cut();
    this.#owner.exited(epoch, kind, how);
  }
}

/** Whether nobody listens there, or whoever does ends at once: a server that starts, or restarts. */
function isAbsent(error: unknown): boolean {
  return error instanceof SkinkError && (error.code === "cannot-connect" || error.code === "disconnected");
}
