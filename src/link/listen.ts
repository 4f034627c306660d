import { Socket } from "node:net";

const RECEIVE_BYTES = 4096;

/**
 * Receives what comes on a socket's descriptor, which it takes over, into one static buffer, which `receive` borrows.
 * `closed`: called once, when the other side is gone or the socket is destroyed.
 */
export function listen(fd: number, receive: (bytes: Uint8Array) => void, closed: () => void): Socket {
  const buffer = Buffer.alloc(RECEIVE_BYTES);
  const socket = new Socket({
    fd,
    onread: {
      buffer,
      callback(count) {
        receive(buffer.subarray(0, count));
        return true;
      },
    },
  });
  // It closes after an error, too.
  socket.on("error", () => {});
  socket.on("close", closed);
  socket.resume();
  return socket;
}
