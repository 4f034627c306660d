import { closeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { createSendingSocket, sendDatagram } from "../os/datagram.ts";
import { type Fields, formatNotification } from "./notification.ts";

/** The longest that this thread waits for a manager that doesn't read. The next time it doesn't wait, until that one has read again. */
const SEND_TIMEOUT_MS = 5000;
/** Between two looks whether a manager reads again. */
const RETRY_MS = 20;
/** Notifications that wait for that. */
const MAX_WAITING = 4096;

/**
 * What is told to a manager, in order. Its queue is short (net.unix.max_dgram_qlen, mostly 10), and it may stand still: what need not be
 * known at once waits in this process then, and the event loop goes on.
 */
export class Outbox {
  readonly #socket: string;
  readonly #failed: (first: Fields, error: Error) => void;
  #waiting: Fields[] = [];
  #retry: NodeJS.Timeout | undefined;
  #standsStill = false;
  #fd: number | undefined;

  /** `socket`: a path, or an abstract name with its zero byte. `failed` hears of what could not be told. */
  constructor(socket: string, failed: (fields: Fields, error: Error) => void) {
    this.#socket = socket;
    this.#failed = failed;
  }

  /** Tells it at once, and all that waits before; this thread waits along. False where that failed. */
  tell(fields: Fields, descriptors: readonly number[] = []): boolean {
    const error = this.#sendWaiting(true) ?? this.#send(fields, descriptors, true);
    if (error !== undefined) this.#failed(fields, error);
    return error === undefined;
  }

  /** Tells it as soon as there is room, without waiting. */
  post(fields: Fields): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#failed(fields, new Error(`${MAX_WAITING} notifications wait for it already`));
      return;
    }
    this.#waiting.push(fields);
    this.#post();
  }

  /** Tells it if there is room. */
  ping(fields: Fields): void {
    if (this.#waiting.length === 0) this.#send(fields, [], false);
  }

  /** Resolves when nothing waits any more, or after `timeoutMs`. */
  async settled(timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs;
    while (this.#waiting.length > 0 && performance.now() < until) {
      await delay(RETRY_MS);
      this.#post();
    }
  }

  /** Nothing is told from here on. */
  close(): void {
    clearTimeout(this.#retry);
    this.#waiting = [];
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #post(): void {
    clearTimeout(this.#retry);
    const [first] = this.#waiting;
    const error = this.#sendWaiting(false);
    if (error === undefined) return;
    if (isFull(error)) {
      this.#retry = setTimeout(() => this.#post(), RETRY_MS).unref();
    } else {
      // It is gone, and comes back by no other name.
      this.#waiting = [];
      this.#failed(first as Fields, error);
    }
  }

  #sendWaiting(wait: boolean): Error | undefined {
    for (let [first] = this.#waiting; first !== undefined; [first] = this.#waiting) {
      const error = this.#send(first, [], wait);
      if (error !== undefined) return error;
      this.#waiting.shift();
    }
    return undefined;
  }

  #send(fields: Fields, descriptors: readonly number[], wait: boolean): Error | undefined {
    try {
      this.#fd ??= createSendingSocket(SEND_TIMEOUT_MS);
      sendDatagram(this.#fd, this.#socket, formatNotification(fields), descriptors, wait && !this.#standsStill);
      this.#standsStill = false;
      return undefined;
    } catch (error) {
      if (wait && isFull(error as Error)) this.#standsStill = true;
      return error as Error;
    }
  }
}

function isFull(error: Error): boolean {
  return (error as NodeJS.ErrnoException).code === "EAGAIN";
}
