import { connect, type Socket } from "node:net";
import { SkinkError } from "../../block/errors.ts";
import { type Address, describeAddress } from "../uri.ts";
import { disconnected } from "./errors.ts";
import type { ByteStream } from "./handshake.ts";

const BUFFER_BYTES = 128 << 10;

/** Who receives after the handshake. */
export interface ClientReceiver {
  /** Borrowed until the next call, never empty. */
  receiveBuffer(): Uint8Array;
  received(count: number): void;
  /** The connection is lost; called once, and nothing after it. */
  lost(error: Error): void;
}

/** A connection to a server: a stream of bytes while it is haggled, then whatever its receiver makes of it. */
export class ClientStream implements ByteStream {
  readonly socket: Socket;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #start = 0;
  #end = 0;
  #wanted: { count: number; resolve: () => void; reject: (error: Error) => void } | undefined;
  #receiver: ClientReceiver | undefined;
  #lost: Error | undefined;

  /** Rejects with `cannot-connect`; the stream fails when the handshake isn't over after `timeoutMs`. */
  static async open(address: Address, timeoutMs: number): Promise<ClientStream> {
    const stream = new ClientStream(address);
    const timer = setTimeout(() => stream.#fail(disconnected(`no handshake after ${timeoutMs} ms`)), timeoutMs);
    stream.socket.once("close", () => clearTimeout(timer));
    stream.#onSettled = () => clearTimeout(timer);
    try {
      await stream.#wait(0, () => stream.socket.connecting);
    } catch (error) {
      stream.destroy();
      const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
      const what = `Cannot connect to the NBD server at ${describeAddress(address)}: ${why}, a listening one was wanted`;
      throw new SkinkError("cannot-connect", what, { cause: error });
    }
    return stream;
  }

  #onSettled: () => void = () => {};

  private constructor(address: Address) {
    this.socket = connect({
      ...address,
      onread: {
        buffer: () => this.#receiver?.receiveBuffer() ?? this.#room(),
        callback: (count, buffer) => this.#received(count, buffer),
      },
    });
    this.socket.setNoDelay(true);
    this.socket.on("connect", () => this.#check(true));
    this.socket.on("error", (error) => this.#fail(error));
    this.socket.on("end", () => this.#fail(disconnected("the server has closed it")));
    this.socket.on("close", () => this.#fail(disconnected("it is closed")));
  }

  async read(count: number): Promise<Uint8Array> {
    if (count > BUFFER_BYTES) throw new RangeError(`${count} bytes are more than a handshake has in one piece`);
    await this.#wait(count, () => this.#end - this.#start < count);
    const bytes = this.#buffer.slice(this.#start, this.#start + count);
    this.#start += count;
    return bytes;
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The handshake is over: all that comes from here on is the receiver's. */
  handOver(receiver: ClientReceiver): void {
    this.#onSettled();
    this.#receiver = receiver;
    this.#pour(this.#buffer.slice(this.#start, this.#end));
    if (this.#lost !== undefined) receiver.lost(this.#lost);
  }

  destroy(): void {
    this.socket.destroy();
  }

  #room(): Uint8Array {
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    return this.#buffer.subarray(this.#end);
  }

  #received(count: number, buffer: Uint8Array): boolean {
    if (this.#lost !== undefined) return false;
    if (this.#receiver === undefined) {
      this.#end += count;
      this.#check(false);
      // A server that sends more than a handshake has is not read any more, and runs into the time limit.
      return this.#end - this.#start < BUFFER_BYTES;
    }
    // Node had asked for this buffer before the handshake was over.
    if (buffer.buffer === this.#buffer.buffer) this.#pour(buffer.subarray(0, count));
    else this.#receiver.received(count);
    return true;
  }

  #pour(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && this.#lost === undefined; ) {
      const into = this.#receiver?.receiveBuffer();
      if (into === undefined) return;
      const count = Math.min(into.length, bytes.length - at);
      into.set(bytes.subarray(at, at + count));
      this.#receiver?.received(count);
      at += count;
    }
  }

  #wait(count: number, missing: () => boolean): Promise<void> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    if (!missing()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#wanted = { count, resolve, reject };
    });
  }

  #check(connected: boolean): void {
    const wanted = this.#wanted;
    if (wanted === undefined || (!connected && this.#end - this.#start < wanted.count)) return;
    this.#wanted = undefined;
    wanted.resolve();
  }

  #fail(error: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    this.socket.destroy();
    this.#wanted?.reject(error);
    this.#wanted = undefined;
    this.#receiver?.lost(error);
  }
}
