import { createServer, type Server, type Socket } from "node:net";
import { SkinkError } from "../../block/errors.ts";
import type { BlockDevice, Clock, Log } from "../../shadow/ports.ts";
import type { ServerTls } from "../tls/server-tls.ts";
import { type Address, describeAddress } from "../uri.ts";
import { Connection, type Holdings } from "./connection.ts";
import type { Exports } from "./exports.ts";
import { MAX_OUTPUT_BYTES, MAX_WRITE_SILENCE_MS, type SessionLimits } from "./limits.ts";
import { descriptorOf } from "./listening.ts";
import { RareLine } from "./rare-line.ts";
import { Session } from "./session.ts";
import { makeWay } from "./socket-file.ts";

export const MAX_CONNECTIONS = 64;
const DRAIN_TIMEOUT_MS = 5_000;
const LISTEN_BACKLOG = 128;

export interface NbdServerOptions {
  readonly exports: Exports;
  /** `after(0, …)` should cost no millisecond: a session that was throttled goes on with it. */
  readonly clock: Clock;
  /** Whether the peer of a descriptor has closed it, unread bytes notwithstanding (poll's POLLRDHUP). */
  readonly hungUp: (fd: number) => boolean;
  readonly log?: Log;
  /** Without it connections are not encrypted. */
  readonly tls?: ServerTls | undefined;
  readonly limits?: Partial<SessionLimits>;
  /** Past it the one that has been in its handshake for longest makes room; without one, who comes is turned away. */
  readonly maxConnections?: number;
  /** Replies that may wait for clients to take them, over all connections, in bytes. */
  readonly maxOutputBytes?: number;
}

/** Serves exports over unix sockets and TCP. */
export class NbdServer {
  readonly #options: NbdServerOptions;
  readonly #listeners = new Map<Server, Address>();
  readonly #connections = new Set<Connection>();
  readonly #holdings: Holdings = { pinnedBytes: 0, queuedBytes: 0 };
  readonly #refusals: RareLine;
  readonly #tlsFailures: RareLine;
  readonly #deafness: RareLine;
  #closing = false;
  /** The ends of listeners that were told to close. */
  readonly #unbound: Promise<unknown>[] = [];
  #onEmpty: (() => void) | undefined;

  constructor(options: NbdServerOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#refusals = new RareLine(clock, log);
    this.#tlsFailures = new RareLine(clock, log);
    this.#deafness = new RareLine(clock, log);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Accepts clients at `address`, also at several. A socket file that nobody listens at is replaced. Resolves with the
   * address itself, its port filled in where 0 was asked for. Rejects with `address-in-use` or `cannot-listen`.
   * `fd`: a socket that is bound there and listens already, with clients that may be waiting. It is taken over; its file isn't
   * removed at the end.
   */
  async listen(address: Address, fd?: number): Promise<Address> {
    if (fd === undefined && "path" in address && !address.path.startsWith("\0")) await makeWay(address.path);
    const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => this.#accept(socket));
    await startListening(listener, address, fd);
    if (this.#closing) {
      await new Promise((resolve) => listener.close(resolve));
      const what = `Cannot listen at ${describeAddress(address)}: the server was closed meanwhile, an open one was wanted`;
      throw new SkinkError("cannot-listen", what);
    }
    const listening = boundOf(listener, address);
    this.#listeners.set(listener, listening);
    return listening;
  }

  /** The descriptor that listens at `address`, which `listen` has resolved with. It stays the server's; -1 where none does. */
  descriptorAt(address: Address): number {
    const [listener] = [...this.#listeners].find(([, listening]) => listening === address) ?? [];
    return listener === undefined ? -1 : descriptorOf(listener);
  }

  /** Frees the memory of reads that clients which don't read keep in their queues. */
  unpinAll(): void {
    for (const connection of this.#connections) connection.unpin();
  }

  /** Cuts off the clients that keep memory of `device` for writes whose data they don't send. How many there were. */
  cutOffIdleWriters(device: BlockDevice): number {
    const idle = [...this.#connections].filter((connection) => connection.keepsIdle(device, MAX_WRITE_SILENCE_MS));
    for (const connection of idle) connection.destroy();
    if (idle.length > 0) {
      const silence = `whose writes' data had not come on for ${MAX_WRITE_SILENCE_MS} ms while others waited for memory`;
      this.#options.log?.warn(`cut off ${idle.length} NBD clients ${silence}`);
    }
    return idle.length;
  }

  /** No new connections, options and requests from here on. What is in flight goes on, and ends its connection; see `close`. */
  shutdown(): void {
    if (this.#closing) return;
    this.#closing = true;
    for (const listener of this.#listeners.keys())
      this.#unbound.push(new Promise((resolve) => listener.close(resolve)));
    this.#listeners.clear();
    for (const connection of this.#connections) connection.shutdown();
  }

  /**
   * Shuts down; resolves when what was in flight has its replies and all connections are closed, at the latest after
   * `drainTimeoutMs`, when the rest is cut off. Removes the socket files that it has made.
   */
  async close(drainTimeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    this.shutdown();
    if (this.#connections.size > 0) {
      const timer = setTimeout(() => this.#cutOff(), drainTimeoutMs);
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
      clearTimeout(timer);
    }
    await Promise.all(this.#unbound);
  }

  /** Resolves when clients have taken all that was sent to them, or after `ms`. */
  async sent(ms: number): Promise<void> {
    const until = performance.now() + ms;
    // What was answered in this turn of the event loop is queued in the next.
    do await new Promise((resolve) => setTimeout(resolve, 1));
    while (this.#holdings.queuedBytes > 0 && performance.now() < until);
  }

  #accept(accepted: Socket): void {
    // The wrapper that is given up may still report an error of its own.
    accepted.on("error", () => {});
    if (this.#closing || !this.#hasRoom()) {
      accepted.destroy();
      return;
    }
    const { exports, clock, limits, hungUp, tls } = this.#options;
    const connection = new Connection({
      hungUp,
      clock,
      holdings: this.#holdings,
      tls,
      onTlsFailed: (why) => this.#tlsFailures.warn(`refused an NBD client: its TLS handshake failed (${why})`),
      onQueued: () => this.#boundOutput(),
      onClosed: (gone) => this.#closed(gone),
    });
    this.#connections.add(connection);
    const session = new Session({
      transport: connection,
      exports,
      clock,
      tls: tls?.mode ?? "off",
      ...(limits === undefined ? {} : { limits }),
    });
    connection.open(session, accepted);
  }

  #closed(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  /** Whoever holds a place without choosing an export gives it up to who comes: a flood of such keeps nobody out. */
  #hasRoom(): boolean {
    const limit = this.#options.maxConnections ?? MAX_CONNECTIONS;
    if (this.#connections.size < limit) return true;
    const haggling = [...this.#connections].find((connection) => connection.inHandshake);
    const what =
      haggling === undefined ? "refused an NBD client" : "dropped an NBD client in its handshake for a new one";
    this.#refusals.warn(`${what}: ${limit} are connected, which is the limit`);
    haggling?.destroy();
    return haggling !== undefined;
  }

  /** Cuts off those that have not taken their replies for longest, until what waits for the others is within the limit. */
  #boundOutput(): void {
    const limit = this.#options.maxOutputBytes ?? MAX_OUTPUT_BYTES;
    while (this.#holdings.queuedBytes > limit) {
      const waiting = [...this.#connections].filter((connection) => connection.queuedBytes > 0);
      const deaf = waiting.reduce((one, other) => (other.tookAt < one.tookAt ? other : one));
      this.#deafness.warn(
        `cut off an NBD client that does not read: ${limit} bytes of replies wait, which is the limit`,
      );
      deaf.destroy();
    }
  }

  #cutOff(): void {
    for (const connection of this.#connections) connection.destroy();
  }
}

function boundOf(listener: Server, address: Address): Address {
  const bound = listener.address();
  if ("path" in address || bound === null || typeof bound === "string") return address;
  return { host: address.host, port: bound.port };
}

function startListening(listener: Server, address: Address, fd: number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once("error", (error) => reject(listenError(address, error)));
    const where = fd === undefined ? address : { fd };
    listener.listen({ ...where, backlog: LISTEN_BACKLOG }, () => {
      listener.removeAllListeners("error");
      // Accepting may fail for want of descriptors; the client sees it, and the next one may do better.
      listener.on("error", () => {});
      resolve();
    });
  });
}

function listenError(address: Address, error: NodeJS.ErrnoException): SkinkError {
  const [code, what] =
    error.code === "EADDRINUSE"
      ? ["address-in-use", "another server listens there, a free address was wanted"]
      : ["cannot-listen", `${error.code ?? error.message}, an address to bind was wanted`];
  return new SkinkError(code, `Cannot listen at ${describeAddress(address)}: ${what}`, { cause: error });
}
