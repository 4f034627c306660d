import { ERRNO, type SkinkError } from "../../block/errors.ts";
import { Fifo } from "../../block/fifo.ts";
import { COMMAND } from "../wire/protocol.ts";
import type { Agreement } from "./agreement.ts";
import { disconnected } from "./errors.ts";
import type { Established } from "./establish.ts";
import { type ClientRequest, PendingRequest } from "./pending-request.ts";
import type { Reconnector } from "./reconnector.ts";
import { ClientTransmission } from "./transmission.ts";

/** How long a server may take to close a connection that we have said goodbye on. */
const GOODBYE_TIMEOUT_MS = 5000;

export interface PipelineOptions {
  /** Requests that are with the server at once, at most. */
  readonly maxRequests: number;
  /** … and bytes of their data; a request that has more goes alone. */
  readonly maxBytes: number;
  /** A connection on which nothing moves for so long, with requests unanswered, is given up; never if `undefined`. */
  readonly replyTimeoutMs: number | undefined;
  /** There where lost connections are to be made again. */
  readonly reconnector: Reconnector | undefined;
}

type State =
  | { readonly name: "open"; readonly transmission: ClientTransmission<PendingRequest>; isFresh: boolean }
  | { readonly name: "reconnecting"; readonly stop: AbortController }
  | { readonly name: "over"; readonly error: unknown };

/**
 * Requests that are promises, over a connection that may be made again. Those made in one turn of the event loop go out
 * together; those past the limits wait here, in order.
 *
 * What happens when a connection is lost, where it is to be made again; `over` otherwise:
 *
 *   | a request, or event                  | what becomes of it                                                |
 *   | ------------------------------------ | ----------------------------------------------------------------- |
 *   | has no reply, or a part of one       | goes out again, as it was, before all others                      |
 *   | waits for room, or is made meanwhile | goes out after those, in order                                    |
 *   | was aborted                          | is forgotten                                                      |
 *   | was answered ESHUTDOWN               | as if it had no reply: once all others have, the connection is    |
 *   |                                      | given up by us                                                    |
 *   | has seen too many connections die    | is rejected, `disconnected`: it may be what kills the server      |
 *   | the server isn't there yet           | another attempt, after a delay that doubles                       |
 *   | … nor at the last attempt            | over: all are rejected, `disconnected`                            |
 *   | the connection is lost once more     | the same; attempts count on until a reply has come                |
 *   | the export has grown                 | nothing else: its size is the new one                             |
 *   | the export is another one            | over: all are rejected, `changed-export`                          |
 *   | the server breaks the protocol       | over: all are rejected, `bad-server`                              |
 *   | `close`, with requests               | they are still answered, if that can be; then as without          |
 *   | `close`, without                     | over, at once                                                     |
 *   | `destroy`                            | over, at once: all are rejected, `disconnected`                   |
 */
export class Pipeline {
  readonly #options: PipelineOptions;
  #agreement: Agreement;
  #state: State;
  readonly #waiting = new Fifo<PendingRequest>();
  /** Answered ESHUTDOWN: they are for the next connection. */
  #again: PendingRequest[] = [];
  /** Requests whose promises are open. */
  #unsettled = 0;
  /** Bytes of data of the requests that are with the server. */
  #bytes = 0;
  #acknowledgedWrites = 0;
  #flushedWrites = 0;
  #isSending = false;
  #closing: Promise<void> | undefined;
  #whenIdle: (() => void) | undefined;
  /** Of the socket of the last connection. */
  #socketClosed: Promise<void> = Promise.resolve();

  constructor(established: Established, options: PipelineOptions) {
    this.#options = options;
    this.#agreement = established.agreement;
    this.#state = this.#open(established);
  }

  /** What was agreed on, last. */
  get agreement(): Agreement {
    return this.#agreement;
  }

  get isConnected(): boolean {
    return this.#state.name === "open";
  }

  /** The server has made the export so large. */
  resized(size: number): void {
    this.#agreement = { ...this.#agreement, size };
  }

  /** The request, whose promise settles with its reply. */
  request(request: ClientRequest): PendingRequest {
    const pending = new PendingRequest(request);
    this.#unsettled++;
    if (this.#state.name === "over") this.#reject(pending, this.#state.error);
    else if (this.#closing !== undefined) this.#reject(pending, disconnected("it is being closed"));
    else if (pending.signal === undefined || this.#watch(pending, pending.signal)) this.#take(pending);
    return pending;
  }

  /** Resolves when all requests are settled and the connection is closed. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Rejects what is unsettled, and closes at once. */
  destroy(): void {
    this.#end(disconnected("it was destroyed"), []);
  }

  #take(pending: PendingRequest): void {
    if (this.#waiting.length > 0 || !this.#hasRoom(pending.weight)) return this.#waiting.push(pending);
    this.#issue(pending);
    if (this.#isSending) return;
    this.#isSending = true;
    process.nextTick(() => {
      this.#isSending = false;
      this.#send();
    });
  }

  #hasRoom(weight: number): boolean {
    if (this.#state.name !== "open" || this.#again.length > 0) return false;
    const { outstanding } = this.#state.transmission;
    const { maxRequests, maxBytes } = this.#options;
    return outstanding < maxRequests && (this.#bytes === 0 || this.#bytes + weight <= maxBytes);
  }

  #issue(pending: PendingRequest): void {
    if (this.#state.name !== "open") return;
    this.#bytes += pending.weight;
    pending.covers = this.#acknowledgedWrites;
    this.#state.transmission.request(pending);
  }

  #send(): void {
    if (this.#state.name === "open") this.#state.transmission.send();
  }

  #pump(): void {
    for (let next = this.#waiting.peek(); next !== undefined; next = this.#waiting.peek()) {
      if (!next.isSettled && !this.#hasRoom(next.weight)) break;
      this.#waiting.shift();
      if (!next.isSettled) this.#issue(next);
    }
    this.#send();
  }

  // ── Replies ───────────────────────────────────────────────────────────────────────────────────────────────────

  #settled(pending: PendingRequest, errno: number): void {
    this.#bytes -= pending.weight;
    if (this.#state.name === "open" && this.#state.isFresh) {
      this.#state.isFresh = false;
      this.#options.reconnector?.progressed();
    }
    if (errno === 0) {
      if (pending.needsFlush) this.#acknowledgedWrites++;
      else if (pending.type === COMMAND.FLUSH) this.#flushedWrites = Math.max(this.#flushedWrites, pending.covers);
    }
    if (pending.isSettled) return;
    if (errno === ERRNO.ESHUTDOWN && this.#options.reconnector !== undefined) {
      this.#again.push(pending);
      return;
    }
    this.#forget(pending);
    pending.answer(errno);
  }

  #batchSettled(): void {
    if (this.#waiting.length > 0) this.#pump();
    if (this.#again.length > 0 && this.#state.name === "open" && this.#state.transmission.outstanding === 0)
      this.#state.transmission.lost(disconnected("the server is shutting down"));
    this.#tellIdle();
  }

  #reject(pending: PendingRequest, reason: unknown): void {
    if (pending.isSettled) return;
    this.#forget(pending);
    pending.reject(reason);
  }

  /** Its promise is about to settle. */
  #forget(pending: PendingRequest): void {
    pending.isSettled = true;
    pending.unwatch?.();
    this.#unsettled--;
  }

  /** Whether it isn't aborted already. */
  #watch(pending: PendingRequest, signal: AbortSignal): boolean {
    const abort = () => {
      this.#reject(pending, signal.reason);
      this.#tellIdle();
    };
    if (signal.aborted) abort();
    else {
      signal.addEventListener("abort", abort, { once: true });
      pending.unwatch = () => signal.removeEventListener("abort", abort);
    }
    return !signal.aborted;
  }

  // ── Connections ───────────────────────────────────────────────────────────────────────────────────────────────

  #open({ stream, agreement }: Established): State {
    const transmission = new ClientTransmission<PendingRequest>(stream, agreement, {
      settled: (pending, errno) => this.#settled(pending, errno),
      batchSettled: () => this.#batchSettled(),
      lost: (error, unanswered) => this.#lost(error, unanswered),
    });
    const { socket } = stream;
    this.#socketClosed = new Promise((resolve) => socket.once("close", () => resolve()));
    const { replyTimeoutMs } = this.#options;
    if (replyTimeoutMs !== undefined) {
      // On an idle connection it is told, too, and again after the next request.
      socket.setTimeout(replyTimeoutMs).on("timeout", () => {
        if (transmission.outstanding > 0) transmission.lost(disconnected(`nothing has come for ${replyTimeoutMs} ms`));
      });
    }
    // The first event may come from inside: by then the state is known, and what goes out again is with the transmission.
    process.nextTick(() => transmission.start());
    return { name: "open", transmission, isFresh: true };
  }

  #lost(error: SkinkError, unanswered: readonly PendingRequest[]): void {
    const { reconnector } = this.#options;
    const wanted = this.#closing === undefined || this.#unsettled > 0;
    if (this.#state.name !== "open" || reconnector === undefined || error.code !== "disconnected" || !wanted)
      return this.#end(error, unanswered);
    this.#bytes = 0;
    this.#again.push(...unanswered);
    const stop = new AbortController();
    this.#state = { name: "reconnecting", stop };
    reconnector.connect(this.#agreement, stop.signal).then(
      (established) => {
        if (stop.signal.aborted) established.stream.destroy();
        else this.#reconnected(established, error, reconnector);
      },
      (failure) => {
        if (!stop.signal.aborted) this.#end(failure, []);
      },
    );
  }

  #reconnected(established: Established, cause: SkinkError, { attempts, onReconnect }: Reconnector): void {
    this.#agreement = established.agreement;
    this.#state = this.#open(established);
    const again = this.#again;
    this.#again = [];
    let reissued = 0;
    for (const pending of again) {
      if (pending.isSettled) continue;
      if (++pending.losses > attempts) {
        this.#reject(pending, disconnected(`it was lost ${pending.losses} times with this request unanswered`, cause));
        continue;
      }
      pending.reset();
      this.#issue(pending);
      reissued++;
    }
    this.#pump();
    this.#tellIdle();
    if (onReconnect === undefined) return;
    const unflushed = this.#acknowledgedWrites > this.#flushedWrites;
    // What it throws is the user's, and not to be taken for ours.
    process.nextTick(onReconnect, { cause, reissued, unflushed });
  }

  /** Nothing comes after this: rejects everything. */
  #end(error: unknown, unanswered: readonly PendingRequest[]): void {
    const before = this.#state;
    if (before.name !== "over") this.#state = { name: "over", error };
    const reason = before.name === "over" ? before.error : error;
    for (const pending of [...unanswered, ...this.#again]) this.#reject(pending, reason);
    this.#again = [];
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#reject(next, reason);
    if (before.name === "open") before.transmission.destroy();
    else if (before.name === "reconnecting") before.stop.abort();
    this.#tellIdle();
  }

  async #close(): Promise<void> {
    if (this.#unsettled > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    if (this.#state.name === "open") {
      const { transmission } = this.#state;
      this.#state = { name: "over", error: disconnected("it was closed") };
      transmission.disconnect();
      const timer = setTimeout(() => transmission.destroy(), GOODBYE_TIMEOUT_MS);
      await this.#socketClosed;
      clearTimeout(timer);
    } else {
      this.#end(disconnected("it was closed"), []);
      await this.#socketClosed;
    }
  }

  #tellIdle(): void {
    if (this.#unsettled === 0) this.#whenIdle?.();
  }
}
