import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Log } from "../shadow/ports.ts";
import { failureOf, Subprocess, type SubprocessEnd, type SubprocessOrder } from "./subprocess.ts";

export const DEFAULT_EVERY_MS = 5000;
export const DEFAULT_TIMEOUT_MS = 2000;
/**
 * Failures in a row. One may be the check's own, on a busy machine for example, and a restart is no small thing to ask
 * for; two hardly are.
 */
export const DEFAULT_FAILURES = 2;

/** The exit codes by which a shell says that it could not run a command, and so does the runner of modules. */
const COULD_NOT_RUN = [126, 127];
const RUNNER = fileURLToPath(new URL(`./health-runner${extname(import.meta.url)}`, import.meta.url));

export interface HealthConfig {
  /**
   * A command for the shell: exit code 0 means well; it runs in `folder`. Or a module, by its file URL: its default export
   * is called with a {@link HealthContext} and throws, or rejects, where something is wrong.
   */
  readonly check:
    | { readonly type: "command"; readonly command: string; readonly folder?: string | undefined }
    | { readonly type: "module"; readonly module: string };
  /** From one start to the next, if the check is over by then. */
  readonly everyMs: number;
  /** A check that takes longer has failed. */
  readonly timeoutMs: number;
  /** So many in a row make the driver sick. */
  readonly failures: number;
}

/** What a check is told; a command by SKINK_DEVICE, SKINK_EPOCH, SKINK_URI, SKINK_PID. */
export interface HealthContext {
  readonly device: string;
  readonly epoch: number;
  /** Where clients find the device. */
  readonly uri: string;
  /** Of the driver's process, if there is one. */
  readonly pid: number | undefined;
}

/** What is checked. */
export interface HealthSubject extends Omit<HealthContext, "uri"> {
  /** Where clients find the device; empty while they can't yet, and then it isn't checked. */
  uri(): string;
}

export interface HealthObserver {
  /** The incarnation fails its checks. `reason`: one line. It is not checked any more until the next `start`. */
  sick(epoch: number, reason: string): void;
  readonly log: Log;
}

type State =
  | { readonly type: "stopped" }
  | { readonly type: "waiting"; readonly timer: NodeJS.Timeout }
  | { readonly type: "checking"; readonly run: Subprocess };

/** The user's own opinion on a driver: a command or module that is run, in a process of its own, every so often. */
export class HealthCheck {
  readonly #config: HealthConfig;
  readonly #observer: HealthObserver;
  #state: State = { type: "stopped" };
  /** In a row. */
  #failures = 0;
  /** A check that can't be run is said once. */
  #saidUnusable = false;

  /** Checks nothing yet. */
  constructor(config: HealthConfig, observer: HealthObserver) {
    this.#config = config;
    this.#observer = observer;
  }

  /** The device is live: from now on it is checked, the first time after `everyMs`. */
  start(subject: HealthSubject): void {
    this.stop();
    this.#failures = 0;
    this.#wait(subject, this.#config.everyMs);
  }

  /** No more checks; resolves when none runs any more. */
  async stop(): Promise<void> {
    const state = this.#state;
    this.#state = { type: "stopped" };
    if (state.type === "waiting") clearTimeout(state.timer);
    if (state.type === "checking") await state.run.stop();
  }

  #wait(subject: HealthSubject, ms: number): void {
    this.#state = { type: "waiting", timer: setTimeout(() => this.#check(subject), ms) };
  }

  #check(subject: HealthSubject): void {
    const { everyMs, timeoutMs } = this.#config;
    const context = { ...subject, uri: subject.uri() };
    if (context.uri === "") {
      this.#wait(subject, everyMs);
      return;
    }
    const startedAt = performance.now();
    // What a check prints is heard of where it fails: its last line.
    const run = new Subprocess({ ...this.#program(context), timeoutMs, output: () => {} });
    this.#state = { type: "checking", run };
    run.ended.then((end) => {
      if (this.#state.type !== "checking" || this.#state.run !== run) return;
      if (this.#isSick(context, end)) return;
      this.#wait(subject, Math.max(0, everyMs - (performance.now() - startedAt)));
    });
  }

  #program(context: HealthContext): Pick<SubprocessOrder, "command" | "folder" | "env"> {
    const { check } = this.#config;
    switch (check.type) {
      case "command":
        return { command: ["/bin/sh", "-c", check.command], folder: check.folder, env: environment(context) };
      case "module": {
        const told = JSON.stringify({ module: check.module, context });
        return { command: [process.execPath, "--disable-warning=ExperimentalWarning", RUNNER, told], env: {} };
      }
    }
  }

  #isSick({ device, epoch }: HealthContext, end: SubprocessEnd): boolean {
    const { failures, timeoutMs } = this.#config;
    const { log } = this.#observer;
    const outcome = outcomeOf(end, timeoutMs);
    switch (outcome.type) {
      case "well":
        this.#failures = 0;
        return false;
      case "unusable":
        if (!this.#saidUnusable) log.error(`${device}: the health check can't be run: ${outcome.how}`);
        this.#saidUnusable = true;
        return false;
      case "failed": {
        this.#failures++;
        log.warn(`${device}: health check failed (${this.#failures} of ${failures}): ${outcome.how}`);
        if (this.#failures < failures) return false;
        this.#state = { type: "stopped" };
        const times = failures === 1 ? "" : ` ${failures} times in a row`;
        this.#observer.sick(epoch, `its health check failed${times}: ${outcome.how}`);
        return true;
      }
    }
  }
}

function environment({ device, epoch, uri, pid }: HealthContext): Record<string, string> {
  return { SKINK_DEVICE: device, SKINK_EPOCH: `${epoch}`, SKINK_URI: uri, SKINK_PID: `${pid ?? ""}` };
}

type Outcome =
  | { readonly type: "well" }
  | { readonly type: "failed"; readonly how: string }
  /** It says nothing about the driver. */
  | { readonly type: "unusable"; readonly how: string };

function outcomeOf(end: SubprocessEnd, timeoutMs: number): Outcome {
  const failure = failureOf(end, timeoutMs);
  if (failure === undefined) return { type: "well" };
  if (end.type === "not started") return { type: "unusable", how: failure };
  const couldNotRun = end.type === "exit" && COULD_NOT_RUN.includes(end.code);
  const how = end.lastLine === "" ? failure : `${failure}: ${end.lastLine}`;
  return { type: couldNotRun ? "unusable" : "failed", how };
}
