import { once } from "node:events";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { ARMED, CONTROL_WORDS, ENDED, FIRED, WAIT_US } from "./control.ts";

/**
 * Promises that settle a fixed time later. Node's timers count in whole milliseconds, so a thread of its own sleeps,
 * for one promise at a time: the delay being the same for all, they settle in their order.
 */
export class Delay {
  readonly #delayMs: number;
  readonly #sleeper: Worker;
  readonly #control: Int32Array<SharedArrayBuffer>;
  #waiting: { readonly dueMs: number; readonly settle: () => void }[] = [];
  #isArmed = false;

  /** Resolves when the thread runs. */
  static async create(delayUs: number): Promise<Delay> {
    const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * Int32Array.BYTES_PER_ELEMENT));
    const sleeper = new Worker(new URL(`./sleeper${extname(import.meta.url)}`, import.meta.url), {
      workerData: control,
    });
    await once(sleeper, "online");
    return new Delay(delayUs / 1000, sleeper, control);
  }

  private constructor(delayMs: number, sleeper: Worker, control: Int32Array<SharedArrayBuffer>) {
    this.#delayMs = delayMs;
    this.#sleeper = sleeper;
    this.#control = control;
  }

  over(): Promise<void> {
    return new Promise((settle) => {
      this.#waiting.push({ dueMs: performance.now() + this.#delayMs, settle });
      if (!this.#isArmed) this.#arm(this.#delayMs);
    });
  }

  /** Ends the thread. Nothing may be waiting. */
  async close(): Promise<void> {
    Atomics.store(this.#control, ENDED, 1);
    Atomics.add(this.#control, ARMED, 1);
    Atomics.notify(this.#control, ARMED);
    await once(this.#sleeper, "exit");
  }

  #arm(delayMs: number): void {
    this.#isArmed = true;
    const control = this.#control;
    const fired = Atomics.load(control, FIRED);
    Atomics.store(control, WAIT_US, Math.max(1, Math.round(delayMs * 1000)));
    Atomics.add(control, ARMED, 1);
    Atomics.notify(control, ARMED);
    const wait = Atomics.waitAsync(control, FIRED, fired);
    if (wait.async) void wait.value.then(() => this.#settleDue());
    else queueMicrotask(() => this.#settleDue());
  }

  #settleDue(): void {
    this.#isArmed = false;
    const now = performance.now();
    const left = this.#waiting.findIndex(({ dueMs }) => dueMs > now);
    const due = this.#waiting.splice(0, left === -1 ? this.#waiting.length : left);
    for (const { settle } of due) settle();
    const next = this.#waiting[0];
    if (next !== undefined) this.#arm(next.dueMs - now);
  }
}
