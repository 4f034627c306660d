import { type ChildProcess, spawn } from "node:child_process";
import { MARK } from "../process-family.ts";

/**
 * Waits for the end of its input, which is that of the front, then kills whatever has the mark ($1) in its environment
 * until two looks in a row find nothing, since one misses what is just being started. Then it removes the folder ($2).
 */
const SCRIPT = `
read -r nothing
empty=0
while [ "$empty" -lt 2 ]; do
  empty=$((empty + 1))
  for file in $(grep -lsaF "$1" /proc/[0-9]*/environ); do
    pid=\${file#/proc/}
    kill -9 "\${pid%/environ}" && empty=0
  done
  sleep 0.02
done
rm -rf "$2"
`;

/**
 * A process that outlives the front by a moment, to take its servers along. A driver host dies with the front by itself;
 * a foreign server knows nothing of fronts, and the processes that it starts even less.
 */
export class Guardian {
  readonly #child: ChildProcess;
  #watches = true;

  /** `mark`: in the environment of all that has to go; `folder`: is removed with it. */
  constructor(mark: string, folder: string) {
    // Neither in the front's group nor marked as the front may be, so that it isn't killed along with it.
    const { [MARK]: _outer, ...env } = process.env;
    this.#child = spawn("/bin/sh", ["-c", SCRIPT, "skink-guardian", mark, folder], {
      detached: true,
      env,
      stdio: ["pipe", "ignore", "ignore"],
    });
    for (const end of ["exit", "error"]) {
      this.#child.on(end, () => {
        this.#watches = false;
      });
    }
    this.#child.stdin?.on("error", () => {});
    this.#child.unref();
  }

  /** Whether it is there: it may have been killed as well, or could not be started. */
  get watches(): boolean {
    return this.#watches;
  }

  /** It isn't needed any more. */
  dismiss(): void {
    this.#child.kill("SIGKILL");
  }
}
