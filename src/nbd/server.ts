import { lstat, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { SkinkError } from "../block/errors.ts";
import type { Clock, Log } from "../shadow/ports.ts";
import { Connection } from "./connection.ts";
import type { Exports } from "./exports.ts";
import type { SessionLimits } from "./limits.ts";
import { Session } from "./session.ts";
import { type Address, describeAddress } from "./uri.ts";

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
  readonly limits?: Partial<SessionLimits>;
  /** Those past it are closed at once. */
  readonly maxConnections?: number;
}

/** Serves exports over unix sockets and TCP. */
export class NbdServer {
  readonly #options: NbdServerOptions;
  readonly #listeners = new Set<Server>();
  readonly #connections = new Set<Connection>();
  #closing = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: NbdServerOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Accepts clients at `address`, also at several. A socket file that nobody listens at is replaced. Resolves with the
   * address itself, its port filled in where 0 was asked for. Rejects with `address-in-use` or `cannot-listen`.
   */
  async listen(address: Address): Promise<Address> {
    if ("path" in address) await clearStaleSocket(address);
    const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => this.#accept(socket));
    await startListening(listener, address);
    this.#listeners.add(listener);
    const bound = listener.address();
    if ("path" in address || bound === null || typeof bound === "string") return address;
    return { host: address.host, port: bound.port };
  }

  /** Frees the memory of reads that clients which don't read keep in their queues. */
  unpinAll(): void {
    for (const connection of this.#connections) connection.unpin();
  }

  /**
   * No new connections and requests; resolves when those in flight have their replies and all connections are closed, at
   * the latest after `drainTimeoutMs`, when the rest is cut off. Removes the socket files.
   */
  async close(drainTimeoutMs = DRAIN_TIMEOUT_MS): Promise<void> {
    this.#closing = true;
    const closed = [...this.#listeners].map((listener) => new Promise((resolve) => listener.close(resolve)));
    this.#listeners.clear();
    for (const connection of this.#connections) connection.shutdown();
    if (this.#connections.size > 0) {
      const timer = setTimeout(() => this.#cutOff(), drainTimeoutMs);
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
      clearTimeout(timer);
    }
    await Promise.all(closed);
  }

  #accept(accepted: Socket): void {
    // The wrapper that is given up may still report an error of its own.
    accepted.on("error", () => {});
    const limit = this.#options.maxConnections ?? MAX_CONNECTIONS;
    if (this.#closing || this.#connections.size >= limit) {
      if (!this.#closing) this.#options.log?.warn(`refused an NBD client: ${limit} are connected, which is the limit`);
      accepted.destroy();
      return;
    }
    const { exports, clock, limits, hungUp } = this.#options;
    const connection = new Connection({ hungUp, onClosed: (gone) => this.#closed(gone) });
    this.#connections.add(connection);
    const session = new Session({ transport: connection, exports, clock, ...(limits === undefined ? {} : { limits }) });
    connection.open(session, accepted);
  }

  #closed(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  #cutOff(): void {
    for (const connection of this.#connections) connection.destroy();
  }
}

function startListening(listener: Server, address: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once("error", (error) => reject(listenError(address, error)));
    listener.listen({ ...address, backlog: LISTEN_BACKLOG }, () => {
      listener.removeAllListeners("error");
      // Accepting may fail for want of descriptors; the client sees it, and the next one may do better.
      listener.on("error", () => {});
      resolve();
    });
  });
}

async function clearStaleSocket(address: { readonly path: string }): Promise<void> {
  const { path } = address;
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SkinkError(
      "cannot-listen",
      `Cannot listen at socket ${path}: it is another kind of file, a free path was wanted`,
    );
  }
  if (await answers(path)) throw inUse(address);
  await unlink(path).catch(() => undefined);
}

/** Whether somebody listens at a socket file. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"),
    );
  });
}

function listenError(address: Address, error: NodeJS.ErrnoException): SkinkError {
  if (error.code === "EADDRINUSE") return inUse(address, error);
  const what = `Cannot listen at ${describeAddress(address)}: ${error.code ?? error.message}, an address to bind was wanted`;
  return new SkinkError("cannot-listen", what, { cause: error });
}

function inUse(address: Address, cause?: Error): SkinkError {
  const message = `Cannot listen at ${describeAddress(address)}: another server listens there, a free address was wanted`;
  return new SkinkError("address-in-use", message, cause === undefined ? {} : { cause });
}
