import type { Socket } from "node:net";
import { SkinkError } from "../block/errors.ts";
import { LineReader } from "../link/lines.ts";
import { type ControlReply, type ControlRequest, MAX_REQUEST_BYTES, parseRequest } from "./control-protocol.ts";

/**
 * Does what a request asks. What it throws is the reply; for events it returns an async iterable. The signal is aborted
 * when the client has gone or has something else to say, and when the front stops.
 */
export type ControlHandler = (request: ControlRequest, signal: AbortSignal) => unknown;

/** A client of the control socket. Its requests are answered one at a time, in order. */
export class ControlConnection {
  readonly #socket: Socket;
  readonly #handler: ControlHandler;
  readonly #reader = new LineReader(MAX_REQUEST_BYTES);
  /** Requests that wait: of one chunk at most, since what comes meanwhile stays in the kernel. */
  #lines: string[] = [];
  /** Of the request that is being answered. */
  #interruption: AbortController | undefined;
  #ending = false;

  constructor(socket: Socket, handler: ControlHandler) {
    this.#socket = socket;
    this.#handler = handler;
    // A peer that goes away without a word is its own affair.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#interruption?.abort());
    socket.on("data", (chunk: Buffer) => this.#hear(chunk));
  }

  /** Ends it after the replies that are under way. */
  end(): void {
    this.#ending = true;
    this.#interruption?.abort();
    if (this.#interruption === undefined) this.#socket.end();
  }

  #hear(chunk: Buffer): void {
    const lines = this.#reader.push(chunk);
    if (lines === undefined) {
      this.#socket.destroy();
      return;
    }
    if (lines.length === 0) return;
    this.#socket.pause();
    this.#lines.push(...lines);
    if (this.#interruption === undefined) this.#answerAll();
    else this.#interruption.abort();
  }

  async #answerAll(): Promise<void> {
    for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
      this.#interruption = new AbortController();
      if (this.#ending || this.#lines.length > 0) this.#interruption.abort();
      await this.#answer(line, this.#interruption.signal);
    }
    this.#interruption = undefined;
    if (this.#ending) this.#socket.end();
    else this.#socket.resume();
  }

  async #answer(line: string, signal: AbortSignal): Promise<void> {
    let result: unknown;
    try {
      const request = parseRequest(line);
      result = await this.#handler(request, signal);
      if (request.command === "events") {
        // Only who listens notices a hang-up while there is nothing to send.
        if (request.follow && !signal.aborted) this.#socket.resume();
        await this.#stream(result as AsyncIterable<unknown>);
        this.#socket.pause();
        result = null;
      }
    } catch (error) {
      if (!(error instanceof SkinkError)) throw error;
      await this.#write({ ok: false, code: error.code, message: error.message });
      return;
    }
    await this.#write({ ok: true, result: result ?? null });
  }

  async #stream(items: AsyncIterable<unknown>): Promise<void> {
    for await (const result of items) {
      if (!this.#socket.writable) return;
      await this.#write({ ok: true, more: true, result });
    }
  }

  /** Resolves when there is room for more: who doesn't read its replies gets no more of them. */
  async #write(reply: ControlReply): Promise<void> {
    const socket = this.#socket;
    if (!socket.writable || socket.write(`${JSON.stringify(reply)}\n`)) return;
    await new Promise<void>((resolve) => {
      const goOn = (): void => {
        socket.off("drain", goOn).off("close", goOn);
        resolve();
      };
      socket.on("drain", goOn).on("close", goOn);
    });
  }
}
