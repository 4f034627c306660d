import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import { SkinkError } from "../../block/errors.ts";
import { type Address, describeAddress } from "../uri.ts";
import { badServer, disconnected, tlsFailed } from "./errors.ts";
import type { ByteStream } from "./haggle.ts";

/** Holds the longest reply to an option, and what comes behind it in one piece. */
const BUFFER_BYTES = 256 << 10;
/** A peer whose machine has gone without a word is found out by probes, from so much silence on. */
const KEEP_ALIVE_DELAY_MS = 30_000;

/** Who receives after the handshake. */
export interface ClientReceiver {
  /** Borrowed until the next call, never empty. */
  receiveBuffer(): Uint8Array;
  received(count: number): void;
  /** The connection is lost; called once, and nothing after it. */
  lost(error: Error): void;
}

export interface StreamOptions {
  readonly address: Address;
  /** From the attempt to connect to the end of the handshake. */
  readonly timeoutMs: number;
  /** Ends the attempt and the handshake; no business of the connection that comes of it. */
  readonly signal: AbortSignal | undefined;
  /** The connection is to be encrypted later on. */
  readonly tls: boolean;
}

/** A connection to a server: a stream of bytes while it is haggled, then whatever its receiver makes of it. */
export class ClientStream implements ByteStream {
  #socket: Socket;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #start = 0;
  #end = 0;
  #wanted: { isThere: () => boolean; resolve: () => void; reject: (error: Error) => void } | undefined;
  #receiver: ClientReceiver | undefined;
  #lost: Error | undefined;
  #endedByServer = false;
  #stopClock: () => void = () => {};

  /** Rejects with `cannot-connect`; the stream fails when it isn't `settled` after `timeoutMs`, or aborted. */
  static async open(options: StreamOptions): Promise<ClientStream> {
    const { address } = options;
    const stream = new ClientStream(options);
    try {
      await stream.#wait(() => !stream.#socket.connecting);
    } catch (error) {
      stream.destroy();
      const what = `Cannot connect to the NBD server at ${describeAddress(address)}: ${reason(error)}, a listening one was wanted`;
      throw new SkinkError("cannot-connect", what, { cause: error });
    }
    return stream;
  }

  private constructor({ address, timeoutMs, signal, tls }: StreamOptions) {
    // What TLS deciphers has to be copied anyway; everything else is received where it is wanted.
    const onread = {
      buffer: () => this.#receiver?.receiveBuffer() ?? this.#room(),
      callback: (count: number, buffer: Uint8Array) => this.#receivedInto(count, buffer),
    };
    this.#socket = connect({ ...address, ...(tls ? {} : { onread }) });
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    this.#socket.once("connect", () => this.#check());
    this.#listen(this.#socket, tls);
    this.#startClock(timeoutMs, signal);
  }

  /** What the bytes go through now: another one from `startTls` on. */
  get socket(): Socket {
    return this.#socket;
  }

  /** Whether the server has closed its side. */
  get endedByServer(): boolean {
    return this.#endedByServer;
  }

  async read(count: number): Promise<Uint8Array> {
    if (count > BUFFER_BYTES) throw new RangeError(`${count} bytes are more than a handshake has in one piece`);
    await this.#wait(() => this.#end - this.#start >= count);
    const bytes = this.#buffer.slice(this.#start, this.#start + count);
    this.#start += count;
    return bytes;
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Encrypts what follows in both directions. Rejects with `tls-failed`, or `bad-server` where plain text has come already. */
  async startTls(options: ConnectionOptions): Promise<void> {
    // Whoever can put bytes into the plain connection must not have them taken for the server's.
    if (this.#end > this.#start) throw badServer("it sent plain text behind its consent to TLS");
    const plain = this.#socket.removeAllListeners("data");
    let isSecure = false;
    try {
      this.#socket = tlsConnect({ ...options, socket: plain }, () => {
        isSecure = true;
        this.#check();
      });
      this.#listen(this.#socket, true);
      await this.#wait(() => isSecure);
    } catch (error) {
      throw error instanceof SkinkError && error.code !== "disconnected" ? error : tlsFailed(reason(error), error);
    }
  }

  /** The handshake is over, and so is its time limit: a receiver may come later. */
  settled(): void {
    this.#stopClock();
  }

  /** All that comes from here on is the receiver's. */
  handOver(receiver: ClientReceiver): void {
    this.#receiver = receiver;
    this.#pour(this.#buffer.slice(this.#start, this.#end));
    if (this.#lost !== undefined) receiver.lost(this.#lost);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #startClock(timeoutMs: number, signal: AbortSignal | undefined): void {
    const abort = () => this.#fail(disconnected("it was aborted"));
    const timer = setTimeout(() => this.#fail(disconnected(`no handshake after ${timeoutMs} ms`)), timeoutMs);
    signal?.addEventListener("abort", abort);
    this.#stopClock = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    this.#socket.once("close", () => this.#stopClock());
  }

  #listen(socket: Socket, copied: boolean): void {
    if (copied) socket.on("data", (bytes) => this.#received(bytes));
    socket.on("error", (error) => this.#fail(error));
    socket.on("end", () => {
      this.#endedByServer = true;
      this.#fail(disconnected("the server has closed it"));
    });
    socket.on("close", () => this.#fail(disconnected("it is closed")));
  }

  #room(): Uint8Array {
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    return this.#buffer.subarray(this.#end);
  }

  #receivedInto(count: number, buffer: Uint8Array): boolean {
    if (this.#lost !== undefined) return false;
    if (this.#receiver === undefined) {
      this.#end += count;
      this.#check();
      // A server that sends more than a handshake has is not read any more, and runs into the time limit.
      return this.#end - this.#start < BUFFER_BYTES;
    }
    // Node had asked for this buffer before the handshake was over.
    if (buffer.buffer === this.#buffer.buffer) this.#pour(buffer.subarray(0, count));
    else this.#receiver.received(count);
    return true;
  }

  #received(bytes: Uint8Array): void {
    if (this.#lost !== undefined) return;
    if (this.#receiver !== undefined) return this.#pour(bytes);
    const room = this.#room();
    if (bytes.length > room.length) return this.#fail(badServer("it sends more than a handshake has"));
    room.set(bytes);
    this.#end += bytes.length;
    this.#check();
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

  #wait(isThere: () => boolean): Promise<void> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    if (isThere()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#wanted = { isThere, resolve, reject };
    });
  }

  #check(): void {
    const wanted = this.#wanted;
    if (wanted === undefined || !wanted.isThere()) return;
    this.#wanted = undefined;
    wanted.resolve();
  }

  #fail(error: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    this.#socket.destroy();
    this.#wanted?.reject(error);
    this.#wanted = undefined;
    this.#receiver?.lost(error);
  }
}

/** In a few words: OpenSSL's messages have several lines, and ours say the whole story. */
function reason(error: unknown): string {
  if (error instanceof SkinkError) return error.message.replace(/^[^:]*: (.*), .*$/, "$1");
  if (!(error instanceof Error)) return String(error);
  if ("reason" in error && typeof error.reason === "string") return error.reason;
  return "code" in error ? String(error.code) : error.message;
}
