import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { leftoversOf, processesOf } from "./leftovers.ts";
import { until, within } from "./until.ts";

/** The command line under test. */
export const SKINK = fileURLToPath(new URL("../bin/skink.js", import.meta.url));
export const EXAMPLES = fileURLToPath(new URL("../examples", import.meta.url));

/** The longest that a program may take which a test runs to its end, if it doesn't say another time. */
const RUN_TIMEOUT_MS = 30_000;
/** After a front has gone, so long may anything of it still be there. */
const GONE_TIMEOUT_MS = 1000;

/** How a program ended, and what it said. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `body` in a folder of its own. However it ends: what it deferred is done, what it started is ended, and it
 * fails if anything stays behind: a process, socket, temporary file, mount, loop device or shared memory.
 */
export async function inScene(body: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = new Scene();
  const failures: unknown[] = [];
  try {
    await body(scene);
  } catch (error) {
    failures.push(error);
  }
  failures.push(...(await scene.close()));
  if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join("; "));
  if (failures.length === 1) throw failures[0];
}

/** A temporary folder, and the processes that work in it. Its `tmp` is their folder for temporary files. */
export class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), "skink-test-"));
  readonly #cleanups: (() => unknown)[] = [];

  constructor() {
    mkdirSync(this.path("tmp"));
    mkdirSync(this.path("run"), { mode: 0o700 });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Writes a file, and returns its path. */
  write(name: string, text: string | Uint8Array): string {
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  /** To be done at the end of the scene: the last one first. */
  defer(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  /** Starts a program in the folder. It is killed at the end of the scene, if it is still there. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn(command, args, {
      cwd: this.folder,
      env: environment(this.folder),
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
    });
    this.defer(() => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    });
    return child;
  }

  /** Runs a program to its end; one that takes longer is killed, and that is a failure. */
  async run(command: string, args: readonly string[], timeoutMs = RUN_TIMEOUT_MS): Promise<Ended> {
    const child = this.spawn(command, args);
    try {
      return await within(`the end of ${command} ${args.join(" ")}`, timeoutMs, ended(child));
    } finally {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    }
  }

  /** As `run`; returns what the program wrote, and fails if it didn't end well. */
  async need(command: string, args: readonly string[], timeoutMs = RUN_TIMEOUT_MS): Promise<string> {
    const { code, signal, stdout, stderr } = await this.run(command, args, timeoutMs);
    if (code === 0) return stdout;
    throw new Error(`${command} ${args.join(" ")} ended with ${code ?? signal}: ${stderr}${stdout}`);
  }

  /** Runs `skink` to its end. */
  skink(...args: string[]): Promise<Ended> {
    return this.run(process.execPath, [SKINK, ...args]);
  }

  /** Waits until nothing of the scene's programs is left; returns in one line each what doesn't go away. */
  async leftovers(timeoutMs = GONE_TIMEOUT_MS): Promise<string[]> {
    const look = (): string[] => [
      ...processesOf(this.folder).map(({ pid, command }) => `process ${pid}: ${command}`),
      ...leftoversOf(this.folder),
    ];
    await until("nothing left", timeoutMs, () => (look().length === 0 ? true : undefined)).catch(() => {});
    return look();
  }

  /** Ends everything, and removes the folder. Returns what went wrong. */
  async close(): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const cleanup of this.#cleanups.reverse()) {
      try {
        await cleanup();
      } catch (error) {
        failures.push(error);
      }
    }
    for (const left of await this.leftovers()) failures.push(new Error(`Left behind: ${left}`));
    for (const { pid } of processesOf(this.folder)) process.kill(pid, "SIGKILL");
    if (!failures.some((failure) => String(failure).includes("mount "))) rmSync(this.folder, { recursive: true });
    return failures;
  }
}

/** Collects what a program says until it has ended. */
export function ended(child: ChildProcess): Promise<Ended> {
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, ...said }));
  });
}

function environment(folder: string): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  // The peers are the system's, and so is what they run in turn: nbdsh takes the first python3 that it finds.
  const path = `/usr/sbin:/usr/bin:/sbin:/bin:${process.env.PATH ?? ""}`;
  return { ...rest, PATH: path, TMPDIR: join(folder, "tmp"), XDG_RUNTIME_DIR: join(folder, "run") };
}
