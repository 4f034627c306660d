import { Socket } from "node:net";

/** What a socket does with what it receives. */
export interface Receiver {
  /** Where the next bytes go: borrowed until the next call, never empty. */
  buffer(): Uint8Array;
  /** `count` bytes are in the buffer lent last. False: receive no more, until `resume`. */
  received(count: number, buffer: Uint8Array): boolean;
}

/** A socket and its descriptor; -1 where it has none. */
export interface ReceivingSocket {
  readonly socket: Socket;
  readonly fd: number;
}

/**
 * Wraps an accepted socket anew, so that it receives straight into memory of the receiver's: Node offers that to sockets that
 * connect alone (`onread`), while 'data' events cost an allocation and a copy each, more than half of the throughput.
 * `accepted` must not have read yet (`pauseOnConnect`); it is used up.
 */
export function receiveInto(accepted: Socket, receiver: Receiver): ReceivingSocket | undefined {
  const handle: unknown = Reflect.get(accepted, "_handle");
  if (typeof handle !== "object" || handle === null) return undefined;
  // The old wrapper lets go of the handle, then ends: its server counts the connection as closed.
  Reflect.set(accepted, "_handle", null);
  accepted.destroy();
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      // Node takes a function here, which is asked before each read.
      buffer: () => receiver.buffer(),
      callback: (count: number, buffer: Uint8Array) => receiver.received(count, buffer),
    },
  };
  // By reflection, since Node documents no constructor that takes over a handle.
  const socket: unknown = Reflect.construct(Socket, [options]);
  const fd: unknown = Reflect.get(handle, "fd");
  return socket instanceof Socket ? { socket, fd: typeof fd === "number" ? fd : -1 } : undefined;
}
