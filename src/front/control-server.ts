import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { SkinkError } from "../block/errors.ts";
import { LineReader } from "../link/lines.ts";
import { makeWay } from "../nbd/server/socket-file.ts";
import { type ControlReply, type ControlRequest, MAX_REQUEST_BYTES, parseRequest } from "./control-protocol.ts";

const MAX_CONNECTIONS = 16;
/** For the reply to whoever asked for the stop; then the connection is cut. */
const CLOSE_TIMEOUT_MS = 1000;
/** The socket is for its user alone. */
const UMASK = 0o177;

/** Does what a request asks. What it throws is the reply. */
export type ControlHandler = (request: ControlRequest) => unknown;

/** Answers commands on a unix socket of mode 0600. */
export class ControlServer {
  readonly path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
  }

  /** Replaces the socket of a dead front. Rejects with `address-in-use` or `cannot-listen`. */
  static async listen(path: string, handler: ControlHandler): Promise<ControlServer> {
    await makeWay(path);
    const server = createServer();
    const control = new ControlServer(path, server);
    server.maxConnections = MAX_CONNECTIONS;
    server.on("connection", (socket) => control.#serve(socket, handler));
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(path, error)));
      // The socket is made within the call, so no other file gets this mask.
      const mask = process.umask(UMASK);
      server.listen(path, resolve);
      process.umask(mask);
    });
    return control;
  }

  /** Ends connections after their replies, and removes the socket file. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    rmSync(this.path, { force: true });
    for (const socket of this.#sockets) socket.end();
    const cut = setTimeout(() => this.#cut(), CLOSE_TIMEOUT_MS);
    await closed;
    clearTimeout(cut);
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket, handler: ControlHandler): void {
    const reader = new LineReader(MAX_REQUEST_BYTES);
    let queue = Promise.resolve();
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    // A peer that goes away without a word is its own affair.
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      const lines = reader.push(chunk);
      if (lines === undefined) return socket.destroy();
      // One at a time: what comes meanwhile stays in the kernel.
      socket.pause();
      for (const line of lines) queue = queue.then(() => answer(socket, line, handler));
      queue = queue.then(() => {
        socket.resume();
      });
    });
  }
}

async function answer(socket: Socket, line: string, handler: ControlHandler): Promise<void> {
  const reply = await replyTo(line, handler);
  if (!socket.writable || socket.write(`${JSON.stringify(reply)}\n`)) return;
  // Who doesn't read its replies gets no more of them.
  await new Promise<void>((resolve) => {
    const goOn = (): void => {
      socket.off("drain", goOn).off("close", goOn);
      resolve();
    };
    socket.on("drain", goOn).on("close", goOn);
  });
}

async function replyTo(line: string, handler: ControlHandler): Promise<ControlReply> {
  try {
    return { ok: true, result: (await handler(parseRequest(line))) ?? null };
  } catch (error) {
    if (!(error instanceof SkinkError)) throw error;
    return { ok: false, code: error.code, message: error.message };
  }
}

function listenError(path: string, error: NodeJS.ErrnoException): SkinkError {
  const wanted = "a path in a folder that this user may write to was wanted";
  return new SkinkError("cannot-listen", `Cannot listen at socket ${path}: ${error.code ?? error.message}, ${wanted}`);
}
