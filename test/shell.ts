import type { ChildProcess } from "node:child_process";
import { ended, type Scene } from "./scene.ts";
import { within } from "./until.ts";

const SCRIPT_TIMEOUT_MS = 60_000;

/** One shell for several scripts, as a person's terminal: variables and jobs of one are there in the next. */
export class Shell {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #stdout = "";
  #stderr = "";
  #scripts = 0;

  constructor(scene: Scene) {
    this.#child = scene.spawn("sh", ["-eu"], { stdio: "pipe" });
    this.#ended = ended(this.#child);
    this.#child.stdout?.on("data", (text: string) => {
      this.#stdout += text;
    });
    this.#child.stderr?.on("data", (text: string) => {
      this.#stderr += text;
    });
    // Who writes to a shell that has ended learns it from its end.
    this.#child.stdin?.on("error", () => {});
  }

  /** Runs a script to its end. The first command that fails ends the shell, and that is a failure. */
  async run(script: string): Promise<void> {
    const mark = `end of script ${++this.#scripts}\n`;
    this.#stdout = "";
    this.#stderr = "";
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const failed = (code: number | null): void => {
      reject(new Error(`sh ended with ${code}: ${this.#stderr}${this.#stdout} in:\n${script}`));
    };
    const listen = (): void => {
      if (this.#stdout.endsWith(mark)) resolve();
    };
    this.#child.stdout?.on("data", listen);
    // Its pipes may be kept open by what it has started, so its exit is what counts.
    this.#child.once("exit", failed);
    this.#child.stdin?.write(`${script}\necho ${mark}`);
    try {
      await within(`the end of:\n${script}`, SCRIPT_TIMEOUT_MS, promise);
    } finally {
      this.#child.stdout?.off("data", listen);
      this.#child.off("exit", failed);
    }
  }

  /** Ends it; fails if anything that it has started is still there. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    await within("the end of sh and its jobs", SCRIPT_TIMEOUT_MS, this.#ended);
  }
}
