import type { ChildProcess } from "node:child_process";
import { closeSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { ANSWER, isDescriptorName, LEAVES, STORED, TAKES_OVER, UNNAMED } from "../service/notification.ts";
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
/** Fronts that are started for the sake of what is stored after an end was asked for, and are killed in turn. */
const MAX_DRAINS = 5;
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
  /** What is stored is another one's affair: nobody is to be started for it. */
  leaves: boolean;
  /** It has had the guard keep more than is kept. */
  overfull: boolean;
  watchdog: NodeJS.Timeout | undefined;
}

type Attempt = Pick<Run, "startedAt"> & Partial<Run>;
/** An exit code of the front's own, the signal that has ended it, or nothing where it couldn't be started. */
type End = number | NodeJS.Signals | undefined;

/**
 * Keeps a front running, and what it wants to outlive it: the smaller half of what systemd does for a service. It knows nothing
 * of devices; a descriptor is a name and a number to it.
 *
 *     starting ──READY──▶ ready ──STOPPING──▶ stopping ──ended, exit 0──▶ the guard ends, with the front's exit code
 *       ▲  │                │                   │
 *       │  │ ended          │ killed, crashed   │ killed, with something stored: the next one is told to stop
 *       │  ▼                ▼                   │
 *       └─ delay ◀──────────┴───────────────────┘     a first start that comes to nothing isn't tried again
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
  /** A front has been ready, or has taken over from one that was. */
  #served = false;
  /** The last front has ended. */
  #over = false;
  /** A signal has asked for the end. */
  #asked = false;
  /** A second one has. */
  #urged = false;
  /** Fronts that were started only to make durable what is stored. */
  #drains = 0;
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
    // The front is told anyway.
    if (first && this.#drains > 0) return;
    this.#urged = !first;
    if (this.#urged && this.#run === undefined)
      return this.#end(EXIT_SIGNAL + constants.signals[signal], "was not there");
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
    const startedAt = performance.now();
    let child: ChildProcess;
    try {
      child = startFront({ command, notifySocket: this.#socket.name, watchdogMs, store: this.#store });
    } catch (error) {
      return this.#ranOut({ startedAt }, undefined, `could not be started (${(error as Error).message})`);
    }
    const run: Run = {
      child,
      startedAt,
      readyAt: undefined,
      stopping: false,
      leaves: false,
      overfull: false,
      watchdog: undefined,
    };
    this.#run = run;
    child.once("error", (error) => this.#gone(run, undefined, `could not be started (${error.message})`));
    child.once("exit", (code, signal) => {
      if (signal === null) this.#gone(run, code ?? EXIT_FAILED, `ended with exit code ${code}`);
      else this.#gone(run, signal, `was ended by ${signal}`);
    });
  }

  #told({ pid, fields, descriptors }: Told): void {
    const run = this.#run;
    // Nobody else speaks for the front, and none that has been dead for long.
    if (run === undefined || pid !== run.child.pid) return closeAll(descriptors);
    const name = nameOf(fields);
    if (fields.get("FDSTORE") === "1") this.#keep(run, name, descriptors, fields.get(ANSWER) === "1");
    else closeAll(descriptors);
    if (fields.get("FDSTOREREMOVE") === "1") this.#store.remove(name);
    if (fields.get(TAKES_OVER) === "1") this.#served = true;
    if (fields.get("READY") === "1") this.#ready(run);
    if (fields.get("STOPPING") === "1") {
      run.stopping = true;
      run.leaves = fields.get(LEAVES) === "1";
      clearTimeout(run.watchdog);
    } else if (fields.get("WATCHDOG") === "1") {
      this.#watch(run);
    }
  }

  /** `answers`: the last descriptor is where an answer is wanted, if all others are kept. */
  #keep(run: Run, name: string, descriptors: readonly number[], answers: boolean): void {
    const files = answers ? descriptors.slice(0, -1) : descriptors;
    const kept = files.filter((fd) => this.#store.add(name, fd));
    const isKept = files.length > 0 && kept.length === files.length;
    if (answers) answer(descriptors.slice(-1), isKept);
    if (isKept || files.length === 0 || run.overfull) return;
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

  #gone(run: Run, end: End, how: string): void {
    if (this.#run !== run) return;
    // Its last words.
    this.#socket.receive();
    this.#run = undefined;
    clearTimeout(run.watchdog);
    this.#ranOut(run, end, how);
  }

  /** What comes after a run, or after an attempt at one. */
  #ranOut(run: Attempt, end: End, how: string): void {
    const wasReady = run.readyAt !== undefined;
    const wellKnown = end === 0 || (end === EXIT_BAD_USAGE && wasReady);
    const wanted = this.#asked || this.#drains > 0 || run.stopping === true;
    if (!wellKnown && this.#served && !wanted) return this.#restart(run, how);
    if (!wellKnown && this.#served && this.#mayDrain(run, end)) {
      this.#drains++;
      this.#pending ??= "SIGTERM";
      return this.#restart(run, how);
    }
    if (end === undefined) this.#say(`the front ${how}`);
    this.#end(exitCodeOf(end), how);
  }

  /** Whether a front that was to stop, and didn't come to its own end, is followed by one that does so for it. */
  #mayDrain(run: Attempt, end: End): boolean {
    if (typeof end === "number" || this.#urged || run.leaves === true || !this.#store.hasNew) return false;
    return this.#drains < MAX_DRAINS;
  }

  #restart(run: Attempt, how: string): void {
    const now = performance.now();
    const { maxRestartDelayMs = MAX_RESTART_DELAY_MS, steadyMs = STEADY_MS } = this.#options;
    if (run.readyAt !== undefined && now - run.readyAt >= steadyMs) this.#delayMs = this.#firstDelayMs;
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(2 * delayMs, maxRestartDelayMs);
    const lived = `after ${((now - run.startedAt) / 1000).toFixed(1)} s`;
    this.#failures = run.readyAt === undefined ? this.#failures + 1 : 0;
    const often = this.#failures > 0 ? `, before it was ready, ${this.#failures} in a row` : "";
    const then = this.#pending === undefined ? "" : ", and stops when it is ready";
    this.#say(`the front ${how} ${lived}${often}; the next one starts in ${delayMs} ms${then}`);
    this.#delay = setTimeout(() => this.#start(), delayMs);
  }

  #end(exitCode: number, how: string): void {
    clearTimeout(this.#delay);
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

function exitCodeOf(end: End): number {
  return typeof end === "string" ? EXIT_SIGNAL + constants.signals[end] : (end ?? EXIT_FAILED);
}

/** Who doesn't wait for it any more has to do without. */
function answer(descriptors: readonly number[], isKept: boolean): void {
  try {
    for (const fd of descriptors) if (isKept) writeSync(fd, STORED);
  } catch {
    // It has gone.
  }
  closeAll(descriptors);
}

/** As systemd does: what isn't a name is none. */
function nameOf(fields: ReadonlyMap<string, string>): string {
  const name = fields.get("FDNAME") ?? UNNAMED;
  return isDescriptorName(name) ? name : UNNAMED;
}

function closeAll(descriptors: readonly number[]): void {
  for (const fd of descriptors) closeSync(fd);
}
