import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { killFamily } from "./process-family.ts";
import { MARK } from "./process-mark.ts";

/** A shell sees no environment of a process in the midst of an exec, and can't tell that from none: so many looks in a row find nothing. */
const LOOKS = 10;
const LOOK_INTERVAL_S = 0.02;
/** What hangs in the kernel for longer keeps nobody from the rest of the work. */
const END_TIMEOUT_MS = 10_000;

/**
 * Waits for a line, which says that nothing marked runs any more, or for the end of its input, which is that of the process that started
 * it: then it kills whatever has the mark ($1) in its environment. In the end it removes the folder ($2), but for what is mounted there.
 */
const KILL = `
read -r gone || {
  empty=0
  while [ "$empty" -lt ${LOOKS} ]; do
    empty=$((empty + 1))
    for file in $(grep -lsaF "$1" /proc/[0-9]*/environ); do
      pid=\${file#/proc/}
      kill -9 "\${pid%/environ}" && empty=0
    done
    sleep ${LOOK_INTERVAL_S}
  done
}
`;
const REMOVE = `
rm -rf --one-file-system "$2"
`;

/**
 * A process that outlives the one that started it by a moment, to take along what that one has started. A driver host dies with its front
 * by itself; other programs know nothing of fronts, and the processes that they start even less.
 */
export class Guardian {
  readonly #mark: string;
  readonly #child: ChildProcess;
  #watches = true;

  /**
   * `mark`: in the environment of all that has to go (see `newMark`); `folder`: is removed after it; `dismantle`: lines for the shell
   * that take apart what would be in the way of that. The folder is "$2" in them.
   */
  constructor(mark: string, folder: string, dismantle = "") {
    this.#mark = mark;
    // Neither in the group nor with the marks of the process that starts it, so that it isn't killed along with it.
    const { [MARK]: _outer, ...env } = process.env;
    const script = `${KILL}${dismantle}${REMOVE}`;
    this.#child = spawn("/bin/sh", ["-c", script, "skink-guardian", mark, folder], {
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

  /** Has its work done now; resolves when it is. */
  async finish(): Promise<void> {
    await killFamily(undefined, this.#mark, { patienceMs: END_TIMEOUT_MS });
    if (!this.#watches) return;
    this.#child.ref();
    const ended = once(this.#child, "exit");
    this.#child.stdin?.end("\n");
    await ended;
  }
}
