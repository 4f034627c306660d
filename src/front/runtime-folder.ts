import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { SkinkError } from "../block/errors.ts";
import { isAlive } from "../nbd/server/socket-file.ts";

const SUFFIX = ".control";
const LOCKS = "locks";
const XDG_MEND = "XDG_RUNTIME_DIR names the folder around it";

/**
 * Where a front puts its control socket if it isn't told: PID.control in the user's runtime folder, which is made. `pid`: of the
 * front, or of the guard, which all of its fronts have in common.
 */
export function defaultControlPath(pid: number): string {
  return join(ownFolder("name a socket with --control"), `${pid}${SUFFIX}`);
}

/** Where the fronts of this user lock their stores; it is made. Throws `bad-folder`. */
export function lockFolder(): string {
  const folder = join(ownFolder(XDG_MEND), LOCKS);
  make(folder, XDG_MEND);
  return folder;
}

/** The control socket of the only front that this user runs. Removes those that dead fronts have left behind. */
export async function findControlPath(): Promise<string> {
  const folder = runtimeFolder();
  const alive: string[] = [];
  for (const name of namesIn(folder)) {
    const path = join(folder, name);
    if (!name.endsWith(SUFFIX)) continue;
    if (await isAlive(path)) alive.push(path);
    else rmSync(path, { force: true });
  }
  const [only, ...others] = alive;
  if (only === undefined) {
    throw new SkinkError(
      "no-front",
      "Cannot find a front: none of this user is running, one was wanted (or --control PATH)",
    );
  }
  if (others.length === 0) return only;
  const choices = alive.map((path) => `--control ${path}`).join(", ");
  throw new SkinkError("many-fronts", `Cannot choose a front: ${alive.length} are running, one was wanted: ${choices}`);
}

/** The runtime folder, which nobody else may look into. `mend`: what to do where there can't be one. */
function ownFolder(mend: string): string {
  const folder = runtimeFolder();
  make(folder, mend);
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new SkinkError("bad-folder", `Cannot use ${folder}: it is not a folder of this user; ${mend}`);
  }
  chmodSync(folder, 0o700);
  return folder;
}

function make(folder: string, mend: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SkinkError("bad-folder", `Cannot use ${folder}: ${code}, a folder of this user was wanted; ${mend}`);
  }
}

/**
 * The same for all fronts of a user, whether a login session or cron has started them: what a session says of itself in
 * XDG_RUNTIME_DIR counts for nothing, only what somebody has chosen.
 */
export function runtimeFolder(
  given: string = process.env.XDG_RUNTIME_DIR ?? "",
  user: number | undefined = process.getuid?.(),
): string {
  const ofSession = `/run/user/${user}`;
  if (given !== "" && resolve(given) !== ofSession) return join(given, "skink");
  if (user === 0) return "/run/skink";
  return existsSync(ofSession) ? `${ofSession}/skink` : `/tmp/skink-${user}`;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
