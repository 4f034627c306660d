import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { SkinkError } from "../block/errors.ts";
import { descriptorOf } from "../nbd/server/listening.ts";
import { makeWay } from "../nbd/server/socket-file.ts";
import { ControlConnection, type ControlHandler } from "./control-connection.ts";

/** Who follows events keeps one for long. */
const MAX_CONNECTIONS = 64;
/** For the reply to whoever asked for the stop; then the connection is cut. */
const CLOSE_TIMEOUT_MS = 1000;
/** The socket is for its user alone. */
const UMASK = 0o177;

/** Answers commands on a unix socket of mode 0600. */
export class ControlServer {
  readonly path: string;
  readonly #server: Server;
  /** Whether it has made the socket, and its file. */
  readonly #own: boolean;
  readonly #connections = new Map<Socket, ControlConnection>();

  private constructor(path: string, server: Server, own: boolean) {
    this.path = path;
    this.#own = own;
    this.#server = server;
  }

  /**
   * Replaces the socket of a dead front. Rejects with `address-in-use` or `cannot-listen`. `fd`: one that is bound there and
   * listens already; it is taken over, its file isn't removed at the end.
   */
  static async listen(path: string, handler: ControlHandler, fd?: number): Promise<ControlServer> {
    if (fd === undefined) await makeWay(path);
    const server = createServer();
    const control = new ControlServer(path, server, fd === undefined);
    server.maxConnections = MAX_CONNECTIONS;
    server.on("connection", (socket) => control.#serve(socket, handler));
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(path, error)));
      // The socket is made within the call, so no other file gets this mask.
      const mask = process.umask(UMASK);
      server.listen(fd === undefined ? { path } : { fd }, resolve);
      process.umask(mask);
    });
    return control;
  }

  /** The descriptor that listens; it stays the server's. */
  get fd(): number {
    return descriptorOf(this.#server);
  }

  /** Ends connections after their replies. The socket is somebody else's now. */
  async leave(): Promise<void> {
    const closed = [...this.#connections.keys()].map(
      (socket) => new Promise((resolve) => socket.once("close", resolve)),
    );
    for (const connection of this.#connections.values()) connection.end();
    const cut = setTimeout(() => this.#cut(), CLOSE_TIMEOUT_MS);
    await Promise.all(closed);
    clearTimeout(cut);
  }

  /** Ends connections after their replies, and removes the socket file that it has made. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    if (this.#own) rmSync(this.path, { force: true });
    for (const connection of this.#connections.values()) connection.end();
    const cut = setTimeout(() => this.#cut(), CLOSE_TIMEOUT_MS);
    await closed;
    clearTimeout(cut);
  }

  #cut(): void {
    for (const socket of this.#connections.keys()) socket.destroy();
  }

  #serve(socket: Socket, handler: ControlHandler): void {
    const connection = new ControlConnection(socket, handler);
    this.#connections.set(socket, connection);
    socket.on("close", () => this.#connections.delete(socket));
  }
}

function listenError(path: string, error: NodeJS.ErrnoException): SkinkError {
  const wanted = "a path in a folder that this user may write to was wanted";
  return new SkinkError("cannot-listen", `Cannot listen at socket ${path}: ${error.code ?? error.message}, ${wanted}`);
}
