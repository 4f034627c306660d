/**
 * A program that stands between a front and a server, which it starts, and makes what passes between them wrong. It is a server's
 * command itself (`exec:`), and one incarnation; whoever ends it ends its group, and so the server with it.
 *
 *   node relay.ts ORDERS SOCKET        ORDERS: see RelayOrders; SOCKET: where the front will come to
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SOCKET_PLACE } from "../../link/nbd/source.ts";
import { shellLine } from "../../link/nbd/spawned-server.ts";
import { decodeArgument } from "./orders.ts";
import { RelayFaults } from "./relay-faults.ts";
import { RelayedConnection } from "./relayed-connection.ts";
import { Strikes } from "./strikes.ts";
import { Trigger } from "./trigger.ts";

const RETRY_MS = 5;

const [, , argument = "", socketPath = ""] = process.argv;
const { fault, command, folder } = decodeArgument(argument);
const faults = new RelayFaults(fault, new Trigger(fault, new Strikes(folder)));
const serverPath = join(dirname(socketPath), "server");

startServer();
// Asked to end, the whole group is, the server too: it may take its time.
process.on("SIGTERM", () => {});
createServer({ allowHalfOpen: true }, (client) => {
  relay(client).catch(() => client.destroy());
}).listen(socketPath);

function startServer(): void {
  const line = shellLine(command.replaceAll(SOCKET_PLACE, serverPath));
  const server = spawn("/bin/sh", ["-c", line], { stdio: "inherit" });
  server.once("error", ({ message }) => {
    process.stderr.write(`${message}\n`);
    process.exit(1);
  });
  // The way it ends is the way that the relay ends.
  server.once("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners("SIGTERM");
    process.kill(process.pid, signal);
  });
}

async function relay(client: Socket): Promise<void> {
  client.on("error", () => {});
  const server = await connect();
  const connection = new RelayedConnection(faults, {
    toServer: (bytes) => void server.write(bytes),
    // A late reply may find nobody any more.
    send: (bytes) => void (client.writable && client.write(bytes)),
    hangUp() {
      client.end();
      server.destroy();
    },
  });
  pass(client, server, (chunk) => connection.fromClient(chunk));
  pass(server, client, (chunk) => connection.fromServer(chunk));
}

/** The server may not listen yet. If it never does, it ends, or the front loses patience. */
async function connect(): Promise<Socket> {
  for (;;) {
    const socket = createConnection({ path: serverPath, allowHalfOpen: true });
    try {
      await once(socket, "connect");
      return socket;
    } catch {
      await sleep(RETRY_MS);
    }
  }
}

function pass(from: Socket, to: Socket, take: (chunk: Buffer) => void): void {
  from.on("data", (chunk) => {
    try {
      take(chunk);
    } catch {
      // Neither understands the other.
      from.destroy();
      to.destroy();
    }
  });
  from.on("end", () => to.end());
  from.on("error", () => to.destroy());
  from.on("close", () => to.end());
}
