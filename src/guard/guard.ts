import type { ChildProcess } from "node:child_process";
import { closeSync } from "node:fs";
import { constants } from "node:os";
import { isDescriptorName, UNNAMED } from "../service/notification.ts";
import { NotifySocket, type Told } from "../service/notify-socket.ts";
import { DescriptorStore, MAX_STORED_DESCRIPTORS, type StoredDescriptor } from "./descriptor-store.ts";
import { startFront } from "./front-process.ts";

/** Before the first restart; doubled from one to the next. */
const RESTART_DELAY_MS = 10;
const MAX_RESTART_DELAY_MS = 5000;
/** A front that has been ready for so long has come to something: the next delay is the first one again. */
const STEADY_MS = 1000;
/** A front whose event loop has stood still for so long is killed: nobody is served by it. */
const WATCHDOG_MS = 30_000;
const EXIT_FAILED = 1;
const EXIT_BAD_USAGE = 2;
/** What shells add to a signal's number. */
const EXIT_SIGNAL = 128;

export interface GuardOptions {
  /** What starts a front: a program and its arguments. */
  readonly command: readonly string[];
  /** Passed on to every front; taken over. */
  readonly descriptors?: readonly StoredDescriptor[];
  /** Takes one line for people. */
  readonly say: (line: string) => void;
  readonly restartDelayMs?: number;
  readonly maxRestartDelayMs?: number;
  readonly steadyMs?: number;
  readonly watchdogMs?: number;
}

/** One run of a front. */
interface Run {
  readonly child: ChildProcess;
  readonly startedAt: number;
  readyAt: number | undefined;
  /** It has said that it ends on purpose. */
  stopping: boolean;
  /** It has had the guard keep more than is kept. */
  overfull: boolean;
  watchdog: NodeJS.Timeout | undefined;
}

/**
 * Keeps a front running, and what it wants to outlive it: the smaller half of what systemd does for a service. It knows nothing
 * of devices; a descriptor is a name and a number to it.
 *
 *     starting ──READY──▶ ready ──STOPPING, exit 0──▶ the guard ends, with the front's exit code
 *       ▲  │                │
 *       │  │ ended          │ killed, crashed
 *       │  ▼                ▼
 *       └─ delay ◀──────────┘              a first start that comes to nothing isn't tried again
 *
 * A front that was ready once may have left acknowledged writes in the store, so from there on the guard never gives up.
 */
export class Guard {
  readonly #options: GuardOptions;
  readonly #store: DescriptorStore;
  readonly #socket: NotifySocket;
  readonly #ended = Promise.withResolvers<number>();
  #run: Run | undefined;
  #delay: NodeJS.Timeout | undefined;
  #delayMs: number;
  /** Runs in a row that came to nothing. */
  #failures = 0;
  /** A front has been ready. */
  #served = false;
  /** The last front has ended. */
  #over = false;
  /** A signal has asked for the end. */
  #asked = false;
  /** The signal that waits for the front to be ready. */
  #pending: NodeJS.Signals | undefined;

  constructor(options: GuardOptions) {
    this.#options = options;
    this.#store = new DescriptorStore(options.descriptors);
    this.#delayMs = this.#firstDelayMs;
    this.#socket = new NotifySocket((told) => this.#told(told));
  }

  /** Starts the front. Resolves, when it has ended for good, with the exit code for the guard. Called once. */
  run(): Promise<number> {
    this.#start();
    return this.#ended.promise;
  }

  /**
   * Passes a signal on. One that comes while no front is ready that once was waits until one is, since only that one can make durable
   * what the store keeps; a second one doesn't wait.
   */
  signal(signal: NodeJS.Signals): void {
    if (this.#over) return;
    const first = !this.#asked;
    this.#asked = true;
    if (first && this.#served && this.#run?.readyAt === undefined) {
      this.#pending = signal;
      if (this.#run === undefined) this.#start();
    } else {
      this.#run?.child.kill(signal);
    }
  }

  get #firstDelayMs(): number {
    return this.#options.restartDelayMs ?? RESTART_DELAY_MS;
  }

  #start(): void {
    clearTimeout(this.#delay);
    const { command, watchdogMs = WATCHDOG_MS } = this.#options;
    const child = startFront({ command, notifySocket: this.#socket.name, watchdogMs, store: this.#store });
    const run: Run = {
      child,
      startedAt: performance.now(),
      readyAt: undefined,
      stopping: false,
      overfull: false,
      watchdog: undefined,
    };
    this.#run = run;
    child.once("error", (error) => this.#gone(run, EXIT_FAILED, `could not be started (${error.message})`));
    child.once("exit", (code, signal) => {
      if (signal === null) this.#gone(run, code ?? EXIT_FAILED, `ended with exit code ${code}`);
      else this.#gone(run, EXIT_SIGNAL + constants.signals[signal], `was ended by ${signal}`);
    });
  }

  #told({ pid, fields, descriptors }: Told): void {
    const run = this.#run;
    // Nobody else speaks for the front, and none that has been dead for long.
    if (run === undefined || pid !== run.child.pid) return closeAll(descriptors);
    const name = nameOf(fields);
    if (fields.get("FDSTORE") === "1") this.#keep(run, name, descriptors);
    else closeAll(descriptors);
    if (fields.get("FDSTOREREMOVE") === "1") this.#store.remove(name);
    if (fields.get("READY") === "1") this.#ready(run);
    if (fields.get("STOPPING") === "1") {
      run.stopping = true;
      clearTimeout(run.watchdog);
    } else if (fields.get("WATCHDOG") === "1") {
      this.#watch(run);
    }
  }

  #keep(run: Run, name: string, descriptors: readonly number[]): void {
    const kept = descriptors.filter((fd) => this.#store.add(name, fd));
    if (kept.length === descriptors.length || run.overfull) return;
    run.overfull = true;
    this.#say(
      `does not keep ${name} for the next front: ${MAX_STORED_DESCRIPTORS} descriptors are stored, which is the limit`,
    );
  }

  #ready(run: Run): void {
    if (run.readyAt !== undefined) return;
    run.readyAt = performance.now();
    this.#served = true;
    this.#watch(run);
    if (this.#pending !== undefined) run.child.kill(this.#pending);
    this.#pending = undefined;
  }

  /** From here on for the watchdog's time without a ping, once it is ready and until it stops. */
  #watch(run: Run): void {
    if (run.readyAt === undefined || run.stopping) return;
    clearTimeout(run.watchdog);
    const { watchdogMs = WATCHDOG_MS } = this.#options;
    run.watchdog = setTimeout(() => {
      const { watchdog } = run;
      // If it is the guard that stood still, pings have been waiting.
      this.#socket.receive();
      if (run.watchdog !== watchdog || run.stopping) return;
      this.#say(`kills the front: its event loop has stood still for ${watchdogMs} ms`);
      run.child.kill("SIGKILL");
    }, watchdogMs);
  }

  #gone(run: Run, exitCode: number, how: string): void {
    if (this.#run !== run) return;
    // Its last words.
    this.#socket.receive();
    this.#run = undefined;
    clearTimeout(run.watchdog);
    const wasReady = run.readyAt !== undefined;
    const wellKnown = exitCode === 0 || (exitCode === EXIT_BAD_USAGE && wasReady);
    if (wellKnown || run.stopping || this.#asked || !this.#served) return this.#end(exitCode, how);
    this.#restart(run, how);
  }

  #restart(run: Run, how: string): void {
    const now = performance.now();
    const { maxRestartDelayMs = MAX_RESTART_DELAY_MS, steadyMs = STEADY_MS } = this.#options;
    if (run.readyAt !== undefined && now - run.readyAt >= steadyMs) this.#delayMs = this.#firstDelayMs;
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(2 * delayMs, maxRestartDelayMs);
    const lived = `after ${((now - run.startedAt) / 1000).toFixed(1)} s`;
    this.#failures = run.readyAt === undefined ? this.#failures + 1 : 0;
    const often = this.#failures > 0 ? `, before it was ready, ${this.#failures} in a row` : "";
    this.#say(`the front ${how} ${lived}${often}; the next one starts in ${delayMs} ms`);
    this.#delay = setTimeout(() => this.#start(), delayMs);
  }

  #end(exitCode: number, how: string): void {
    if (this.#pending !== undefined) {
      this.#say(`the front ${how} before it was ready, and was to stop: what was not durable is lost`);
    }
    this.#over = true;
    this.#socket.close();
    this.#store.close();
    this.#ended.resolve(exitCode);
  }

  #say(what: string): void {
    this.#options.say(`guard: ${what}`);
  }
}

/** As systemd does: what isn't a name is none. */
function nameOf(fields: ReadonlyMap<string, string>): string {
  const name = fields.get("FDNAME") ?? UNNAMED;
  return isDescriptorName(name) ? name : UNNAMED;
}

function closeAll(descriptors: readonly number[]): void {
  for (const fd of descriptors) closeSync(fd);
}
