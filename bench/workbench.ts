import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SkinkError } from "../src/block/errors.ts";

/** After a SIGTERM a server has this long to end by itself. */
const STOP_TIMEOUT_MS = 15_000;
/** What is remembered of a process's stderr, for the case that it fails. */
const MAX_REMEMBERED_ERROR_CHARS = 4096;

/** A process of the workbench. */
export interface Tool {
  readonly child: ChildProcess;
  readonly pid: number;
  /** The end of what it wrote to stderr. */
  errors(): string;
}

/**
 * Where one part of the bench works: a folder of its own and the processes that it started, all of which are gone
 * after `close`, and also when the bench itself ends in another way.
 */
export class Workbench {
  readonly folder: string;
  /** Aborted when the operator interrupts the bench. */
  readonly signal: AbortSignal;
  readonly #tools = new Set<Tool>();
  readonly #lastResort = (): void => this.#removeAll();

  constructor(signal: AbortSignal) {
    this.signal = signal;
    this.folder = mkdtempSync(join(tmpdir(), "skink-bench-"));
    process.on("exit", this.#lastResort);
  }

  /** A path in the workbench's folder. Kept short: a socket's path has 107 bytes at most. */
  path(name: string): string {
    return join(this.folder, name);
  }

  start(command: string, args: readonly string[]): Tool {
    this.signal.throwIfAborted();
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd: this.folder });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-MAX_REMEMBERED_ERROR_CHARS);
    });
    child.on("error", (error) => {
      errors = error.message;
    });
    const tool = { child, pid: child.pid ?? 0, errors: () => errors };
    this.#tools.add(tool);
    child.once("close", () => this.#tools.delete(tool));
    return tool;
  }

  /** Runs a program to its end and returns what it printed. Throws `program-failed` where it doesn't end well. */
  async run(command: string, args: readonly string[]): Promise<string> {
    const tool = this.start(command, args);
    const interrupt = (): void => void tool.child.kill("SIGTERM");
    this.signal.addEventListener("abort", interrupt, { once: true });
    let output = "";
    tool.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    try {
      const how = await ended(tool);
      this.signal.throwIfAborted();
      if (how === "exit code 0") return output;
      throw new SkinkError("program-failed", `Cannot run ${command}: ${how}, a clean end was wanted\n${tool.errors()}`);
    } finally {
      this.signal.removeEventListener("abort", interrupt);
    }
  }

  /** Ends a server in order. Returns how it ended: "exit code 0" where all is well. */
  async stop(tool: Tool): Promise<string> {
    const end = ended(tool);
    tool.child.kill("SIGTERM");
    const timer = setTimeout(() => tool.child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    const how = await end;
    clearTimeout(timer);
    return how;
  }

  /** Waits for the end of a server that ends by itself. Returns how it did, as `stop` does. */
  async ended(tool: Tool): Promise<string> {
    const timer = setTimeout(() => tool.child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    const how = await ended(tool);
    clearTimeout(timer);
    return how;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#tools].map((tool) => this.stop(tool)));
    this.#removeAll();
    process.off("exit", this.#lastResort);
  }

  #removeAll(): void {
    for (const { child } of this.#tools) child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits for the end of a process and its output: "exit code 0", "killed by SIGKILL", "not started". */
async function ended({ child }: Tool): Promise<string> {
  if (child.pid === undefined) return "not started";
  if (child.exitCode === null && child.signalCode === null) await once(child, "close");
  return child.signalCode === null ? `exit code ${child.exitCode}` : `killed by ${child.signalCode}`;
}
