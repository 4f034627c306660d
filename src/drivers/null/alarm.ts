import { once } from "node:events";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { ARMED, CONTROL_WORDS, ENDED, FIRED, WAIT_US } from "./control.ts";

/** The longest that the thread sleeps at a time, in milliseconds; WAIT_US has 31 bits. */
const MAX_SLEEP_MS = 1_000_000;

interface Sleeping {
  readonly dueMs: number;
  readonly settle: () => void;
}

/** Promises that settle at given times. Node's timers count in whole milliseconds, so a thread of its own sleeps. */
export class Alarm {
  readonly #sleeper: Worker;
  readonly #control: Int32Array<SharedArrayBuffer>;
  /** By time, the last one due first: most of those that come are due later than most that wait. */
  readonly #waiting: Sleeping[] = [];
  #isListening = false;

  /** Resolves when the thread runs. */
  static async create(): Promise<Alarm> {
    const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * Int32Array.BYTES_PER_ELEMENT));
    const sleeper = new Worker(new URL(`./sleeper${extname(import.meta.url)}`, import.meta.url), {
      workerData: control,
    });
    await once(sleeper, "online");
    return new Alarm(sleeper, control);
  }

  private constructor(sleeper: Worker, control: Int32Array<SharedArrayBuffer>) {
    this.#sleeper = sleeper;
    this.#control = control;
  }

  /** Settles at that time of `performance.now()`; those that are due at the same time in the order of asking. */
  at(dueMs: number): Promise<void> {
    return new Promise((settle) => {
      let place = this.#waiting.length;
      this.#waiting.push({ dueMs, settle });
      for (; place > 0 && (this.#waiting[place - 1] as Sleeping).dueMs <= dueMs; place--) {
        this.#waiting[place] = this.#waiting[place - 1] as Sleeping;
      }
      this.#waiting[place] = { dueMs, settle };
      if (place === this.#waiting.length - 1) this.#arm(dueMs);
    });
  }

  /** Ends the thread. Nothing may be waiting. */
  async close(): Promise<void> {
    Atomics.store(this.#control, ENDED, 1);
    this.#ring();
    await once(this.#sleeper, "exit");
  }

  #arm(dueMs: number): void {
    const waitMs = Math.min(MAX_SLEEP_MS, dueMs - performance.now());
    const fired = Atomics.load(this.#control, FIRED);
    Atomics.store(this.#control, WAIT_US, Math.max(1, Math.round(waitMs * 1000)));
    this.#ring();
    this.#listen(fired);
  }

  #ring(): void {
    Atomics.add(this.#control, ARMED, 1);
    Atomics.notify(this.#control, ARMED);
  }

  /** Hears of it when FIRED is no more what it was. */
  #listen(fired: number): void {
    if (this.#isListening) return;
    this.#isListening = true;
    const heard = (): void => {
      this.#isListening = false;
      this.#settleDue();
    };
    const wait = Atomics.waitAsync(this.#control, FIRED, fired);
    if (wait.async) void wait.value.then(heard);
    else queueMicrotask(heard);
  }

  #settleDue(): void {
    const now = performance.now();
    for (let next = this.#waiting.at(-1); next !== undefined; next = this.#waiting.at(-1)) {
      if (next.dueMs > now) return this.#arm(next.dueMs);
      this.#waiting.pop();
      next.settle();
    }
  }
}
