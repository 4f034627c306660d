import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** In the environment of everything that is started for a run: its folder, or that of a state, in it. */
export const RUN_MARK = "SKINK_CRASHES";

/**
 * Waits for the end of its input, which is that of the run; then it ends what has the mark ($1=$2) in its environment until two looks
 * in a row find nothing, takes apart what is made of files in the folder ($2), and removes it. Mounts go before the loop devices below
 * them, and these before their files: a loop device whose file is gone has no name any more to be found by.
 */
const SCRIPT = `
read -r nothing
look=0
while [ "$look" -lt 2 ]; do
  look=$((look + 1))
  for file in $(grep -lsaF "$1=$2" /proc/[0-9]*/environ); do
    pid=\${file#/proc/}
    kill -9 "\${pid%/environ}" 2>/dev/null && look=0
  done
done
loops=$(losetup -n -O NAME,BACK-FILE 2>/dev/null | while read -r loop file; do
  case $file in "$2"/*) echo "$loop" ;; esac
done)
mounts() {
  while read -r source point type rest; do
    point=$(printf '%b' "$point")
    case $type in fuse*) type=fuse ;; *) type=other ;; esac
    case $type:$point in "$1:$2"/*) printf '%s\\n' "$point" ;; esac
  done </proc/mounts | tac
}
mounts other "$2" | while read -r point; do umount -l "$point"; done
for loop in $loops; do losetup -d "$loop"; done
mounts fuse "$2" | while read -r point; do umount -l "$point" || fusermount3 -uz "$point"; done
rm -rf --one-file-system "$2"
`;

/** A process that outlives a run by a moment, however that ends, and leaves nothing of it behind. */
export class Undertaker {
  readonly #child: ChildProcess;

  constructor(folder: string) {
    const { [RUN_MARK]: _outer, ...env } = process.env;
    // A group of its own: what ends the run, as a ^C does, must not end it as well.
    this.#child = spawn("/bin/sh", ["-c", SCRIPT, "skink-undertaker", RUN_MARK, folder], {
      detached: true,
      env,
      stdio: ["pipe", "ignore", "ignore"],
    });
    this.#child.stdin?.on("error", () => {});
    this.#child.on("error", () => {});
    this.#child.unref();
  }

  /** Does its work now; resolves when it is done. */
  async finish(): Promise<void> {
    this.#child.ref();
    const ended =
      this.#child.exitCode === null && this.#child.pid !== undefined ? once(this.#child, "exit") : undefined;
    this.#child.stdin?.end();
    await ended;
  }
}
