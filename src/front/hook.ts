import { setTimeout as delay } from "node:timers/promises";
import { Fifo } from "../block/fifo.ts";
import type { Log } from "../shadow/ports.ts";
import type { FrontEvent } from "./events.ts";
import { failureOf, Subprocess } from "./subprocess.ts";

/** A run that takes longer is killed, with all that it has started. */
const TIMEOUT_MS = 10_000;
/** Events that wait for their run. The oldest ones are dropped: how it is now matters more than how it came to that. */
export const MAX_WAITING_EVENTS = 32;
/** A run is started so long after its event: starting a process takes the front time that a recovery has more use for. */
const START_DELAY_MS = 100;
/** At the end of the front, what waits is still run for so long. */
export const STOP_TIMEOUT_MS = 2000;

/** What the supervisor decides, as against what follows from it. */
const HOOKED: readonly FrontEvent["type"][] = [
  "fault",
  "restart",
  "fallback",
  "read-only",
  "held",
  "failed",
  "convicted",
  "lie",
  "upgraded",
  "rollback",
];

/** A command of the user's, for the shell. */
export interface HookConfig {
  readonly command: string;
  /** In which it runs; the front's own if left out. */
  readonly folder?: string | undefined;
}

/**
 * Runs the user's command for each decision about a device: one at a time, in order. It gets SKINK_DEVICE, SKINK_EVENT,
 * SKINK_REASON, SKINK_EPOCH, SKINK_DRIVER, and the whole event in SKINK_EVENT_JSON. Nothing waits for it, and nothing
 * depends on how it ends.
 */
export class Hook {
  readonly #config: HookConfig;
  readonly #log: Log;
  readonly #waiting = new Fifo<FrontEvent>();
  /** Of those dropped since the queue was last empty. */
  #dropped = 0;
  #run: Subprocess | undefined;
  #start: NodeJS.Timeout | undefined;
  /** Resolves when nothing waits or runs any more; from a stop on. */
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(config: HookConfig, log: Log) {
    this.#config = config;
    this.#log = log;
  }

  /** Returns at once. Events that are no decisions are left alone. */
  tell(event: FrontEvent): void {
    if (!HOOKED.includes(event.type) || this.#idle !== undefined) return;
    if (this.#waiting.length === MAX_WAITING_EVENTS) this.#drop(event.device);
    this.#waiting.push(event);
    if (this.#run === undefined) this.#start ??= setTimeout(() => this.#next(), START_DELAY_MS);
  }

  /** Runs what waits, for STOP_TIMEOUT_MS at most, and takes no more. Then nothing is left running. Never rejects. */
  async stop(): Promise<void> {
    if (this.#idle === undefined) {
      this.#idle = Promise.withResolvers();
      if (this.#run === undefined) this.#next();
    }
    await Promise.race([this.#idle.promise, delay(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    this.#waiting.clear();
    await this.#run?.stop();
  }

  /** Ends at once: the process has to exit next. */
  abandon(): void {
    this.#run?.kill();
  }

  #next(): void {
    clearTimeout(this.#start);
    this.#start = undefined;
    const event = this.#waiting.shift();
    if (event === undefined) {
      this.#dropped = 0;
      this.#idle?.resolve();
      return;
    }
    const { command, folder } = this.#config;
    const output = (line: string): void => this.#log.info(`${event.device}: hook: ${line}`);
    const order = { command: ["/bin/sh", "-c", command], folder, env: environment(event), output };
    const run = new Subprocess({ ...order, timeoutMs: TIMEOUT_MS });
    this.#run = run;
    run.ended.then((end) => {
      this.#run = undefined;
      const failure = failureOf(end, TIMEOUT_MS);
      if (failure !== undefined) this.#log.warn(`${event.device}: the hook for ${event.type} failed: ${failure}`);
      this.#next();
    });
  }

  #drop(device: string): void {
    this.#waiting.shift();
    if (this.#dropped++ > 0) return;
    this.#log.warn(
      `${device}: the hook is too slow: more than ${MAX_WAITING_EVENTS} events wait, the oldest are dropped`,
    );
  }
}

function environment(event: FrontEvent): Record<string, string> {
  return {
    SKINK_DEVICE: event.device,
    SKINK_EVENT: event.type,
    SKINK_REASON: event.reason,
    SKINK_EPOCH: `${event.epoch}`,
    SKINK_DRIVER: event.driver,
    SKINK_EVENT_JSON: JSON.stringify(event),
  };
}
