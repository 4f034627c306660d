import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { ServerTls } from "./server-tls.ts";

export interface HandshakeEvents {
  /** What comes out of `socket` from here on was encrypted, by a client that has proved what it has to. */
  readonly secured: (socket: TLSSocket) => void;
  /** It can't go on. `why`: in a word or two, none of them the client's own. */
  readonly failed: (why: string) => void;
}

/**
 * Does the server's side of a TLS handshake over `socket`, which is paused, and which nobody else may use meanwhile. One of
 * the events comes, and once; after `failed` the socket is to be destroyed. So is one whose handshake takes too long.
 *
 * Node checks a client's certificate in its server alone, so each connection has one, which listens nowhere. It costs a fifth
 * of a millisecond, and it keeps sessions apart: none can be resumed on another connection.
 */
export function serverHandshake(socket: Socket, { options, verifyPeer }: ServerTls, events: HandshakeEvents): void {
  const server = createServer(options, (secured) => {
    if (!verifyPeer || secured.authorized || provedByKey(secured)) events.secured(secured);
    else events.failed(String(secured.authorizationError));
  });
  server.once("tlsClientError", (error, { authorizationError }) => {
    events.failed(authorizationError ? String(authorizationError) : reasonOf(error));
  });
  // Else a client that goes in the middle of its handshake would be waited for.
  socket.allowHalfOpen = false;
  server.emit("connection", socket);
}

/**
 * Whether it was a pre-shared key that proved both ends. In TLS 1.3 that looks as the resumption of a session does, which
 * doesn't exist here; before, it is a matter of the cipher.
 */
function provedByKey(socket: TLSSocket): boolean {
  return socket.getProtocol() === "TLSv1.3" ? socket.isSessionReused() : /_PSK_/.test(socket.getCipher().standardName);
}

/** OpenSSL's messages have several lines, and name its sources. */
function reasonOf(error: Error): string {
  if ("reason" in error && typeof error.reason === "string") return error.reason;
  const code = "code" in error && typeof error.code === "string" ? error.code : "ECONNRESET";
  return code === "ECONNRESET" ? "the client broke it off" : code;
}
