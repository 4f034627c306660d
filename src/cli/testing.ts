/** Runs the command for tests, with folders of its own for whatever it makes. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const COMMAND = fileURLToPath(new URL("../../bin/skink.js", import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A front that runs, or is about to end. */
export interface Serving {
  readonly child: ChildProcess;
  /** The URI of each device, once all are ready; rejects if the command ends before. */
  readonly uris: Promise<Record<string, string>>;
  readonly finished: Promise<Finished>;
}

export class CommandBench {
  /** Where the command runs. */
  readonly folder = mkdtempSync(join(tmpdir(), "skink-cli-"));
  readonly #env = { ...process.env, XDG_RUNTIME_DIR: this.#sub("run"), TMPDIR: this.#sub("tmp") };

  /** Runs a command to its end. */
  run(...arguments_: string[]): Promise<Finished> {
    return finished(this.#spawn(arguments_));
  }

  /** Serves `devices` devices. */
  serve(devices: number, ...arguments_: string[]): Serving {
    const child = this.#spawn(["serve", ...arguments_]);
    const end = finished(child);
    const uris = new Promise<Record<string, string>>((resolve, reject) => {
      const found: Record<string, string> = {};
      const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
      lines.on("line", (line) => {
        const [word, name, uri] = line.split(" ");
        if (word === "ready" && name !== undefined && uri !== undefined) found[name] = uri;
        if (Object.keys(found).length === devices) resolve(found);
      });
      end.then(({ code, stderr }) => reject(new Error(`serve ended with ${code}: ${stderr}`)), reject);
    });
    // A test of a front that doesn't come up looks at its end only.
    uris.catch(() => {});
    return { child, uris, finished: end };
  }

  /** What the commands have left in the folders for sockets. */
  leftovers(): string[] {
    const { XDG_RUNTIME_DIR, TMPDIR } = this.#env;
    const control = join(XDG_RUNTIME_DIR, "skink");
    return [...(existsSync(control) ? readdirSync(control) : []), ...readdirSync(TMPDIR)];
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #sub(name: string): string {
    const path = join(this.folder, name);
    mkdirSync(path);
    return path;
  }

  #spawn(arguments_: string[]): ChildProcess {
    return spawn(process.execPath, [COMMAND, ...arguments_], { cwd: this.folder, env: this.#env });
  }
}

function finished(child: ChildProcess): Promise<Finished> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (text) => {
    stdout += text;
  });
  child.stderr?.on("data", (text) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}
