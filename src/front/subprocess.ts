import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { DriverOutput, OutputStream } from "../link/output.ts";
import { killGroup, whenGroupGone } from "../link/process-group.ts";

/** How often to look whether the last of its group is gone. */
const GROUP_POLL_MS = 5;
/** How long output is waited for that was printed before the end; only who has left the group may still hold it open. */
const LAST_WORDS_MS = 100;
/** How long one that was stopped may take to be gone: the kernel may be busy with it. */
const REAP_TIMEOUT_MS = 1000;
/** If the front doesn't live to end it, timeout(1) does, so much later. */
const BACKSTOP_MS = 1000;

export interface SubprocessOrder {
  /** The program, then its arguments. */
  readonly command: readonly string[];
  /** In which it runs; the front's own if left out. */
  readonly folder?: string | undefined;
  /** In addition to the front's own environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Takes a line that it printed. */
  readonly output: (line: string) => void;
}

/** `lastLine`: of what it printed on stderr, or else on stdout; empty where there is none. */
export type SubprocessEnd =
  | { readonly type: "exit"; readonly code: number; readonly lastLine: string }
  | { readonly type: "signal"; readonly signal: NodeJS.Signals; readonly lastLine: string }
  | { readonly type: "timeout"; readonly lastLine: string }
  | { readonly type: "not started"; readonly message: string };

/**
 * A program of the user's that does one thing and ends, in a process group of its own: after a time it is killed. What it
 * leaves in the group goes with it. What it prints is bounded, and never waited for. It doesn't outlive the front for long.
 *
 *   running ──exit──▶ ending ──group and output are gone──▶ ended
 *      └─kill, late────▶ killed ──▲
 */
export class Subprocess {
  /** Never rejects. Nothing of its group runs any more. */
  readonly ended: Promise<SubprocessEnd>;
  readonly #child: ChildProcess | undefined;
  readonly #end = Promise.withResolvers<SubprocessEnd>();
  readonly #lastLines = { stdout: "", stderr: "" };
  #isLate = false;

  constructor({ command, folder, env, timeoutMs, output }: SubprocessOrder) {
    this.ended = this.#end.promise;
    try {
      const seconds = Math.ceil((timeoutMs + BACKSTOP_MS) / 1000);
      this.#child = spawn("timeout", ["-s", "KILL", `${seconds}`, ...command], {
        cwd: folder,
        env: { ...process.env, ...env },
        // A group of its own, to be killed as a whole.
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
      });
    } catch (error) {
      this.#end.resolve({ type: "not started", message: (error as Error).message });
      return;
    }
    const child = this.#child;
    const closed = this.#readOutput(child, output);
    const late = setTimeout(() => {
      this.#isLate = true;
      this.kill();
    }, timeoutMs);
    child.once("error", ({ message }) => {
      if (child.pid !== undefined) return;
      clearTimeout(late);
      this.#end.resolve({ type: "not started", message });
    });
    child.once("exit", (code, signal) => {
      clearTimeout(late);
      whenGroupGone(child.pid as number, GROUP_POLL_MS, () => this.#gone(child, closed, code, signal));
    });
  }

  /** Ends it at once. */
  kill(): void {
    const child = this.#child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) killGroup(child.pid);
  }

  /** Ends it, and resolves when it is gone; or soon, if the kernel doesn't let it go. */
  async stop(): Promise<void> {
    this.kill();
    await Promise.race([this.ended, delay(REAP_TIMEOUT_MS, undefined, { ref: false })]);
  }

  /** Resolves when all of it has been read. */
  #readOutput(child: ChildProcess, take: (line: string) => void): Promise<void> {
    const output = new DriverOutput(take);
    for (const name of ["stdout", "stderr"] as const) {
      const pipe = child[name];
      const stream = output.stream();
      // The last line counts even where there are too many of them.
      const last = new OutputStream((line) => {
        this.#lastLines[name] = line;
      });
      pipe?.on("data", (chunk: Buffer) => {
        stream.push(chunk);
        last.push(chunk);
      });
      pipe?.on("error", () => {});
      pipe?.once("close", () => {
        stream.end();
        last.end();
      });
    }
    return new Promise((resolve) => {
      child.once("close", () => {
        output.end();
        resolve();
      });
    });
  }

  /** It is reaped, and nothing of its group runs any more. */
  async #gone(
    child: ChildProcess,
    closed: Promise<void>,
    code: number | null,
    signal: NodeJS.Signals | null,
  ): Promise<void> {
    await Promise.race([closed, delay(LAST_WORDS_MS)]);
    child.stdout?.destroy();
    child.stderr?.destroy();
    const { stdout, stderr } = this.#lastLines;
    const lastLine = stderr === "" ? stdout : stderr;
    if (this.#isLate) this.#end.resolve({ type: "timeout", lastLine });
    else if (signal !== null) this.#end.resolve({ type: "signal", signal, lastLine });
    else this.#end.resolve({ type: "exit", code: code as number, lastLine });
  }
}

/** What went wrong, for people; `undefined` where nothing did. `timeoutMs`: what it was given. */
export function failureOf(end: SubprocessEnd, timeoutMs: number): string | undefined {
  switch (end.type) {
    case "exit":
      return end.code === 0 ? undefined : `exit code ${end.code}`;
    case "signal":
      return `killed by ${end.signal}`;
    case "timeout":
      return `not done within ${timeoutMs} ms`;
    case "not started":
      return end.message;
  }
}
