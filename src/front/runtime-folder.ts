import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SkinkError } from "../block/errors.ts";
import { isAlive } from "../nbd/server/socket-file.ts";

const SUFFIX = ".control";

/** Where a front puts its control socket if it isn't told: PID.control in the user's runtime folder, which is made. */
export function defaultControlPath(): string {
  const folder = runtimeFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new SkinkError(
      "bad-folder",
      `Cannot use ${folder}: it is not a folder of this user; name a socket with --control`,
    );
  }
  chmodSync(folder, 0o700);
  return join(folder, `${process.pid}${SUFFIX}`);
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

function runtimeFolder(): string {
  const { XDG_RUNTIME_DIR } = process.env;
  if (XDG_RUNTIME_DIR !== undefined && XDG_RUNTIME_DIR !== "") return join(XDG_RUNTIME_DIR, "skink");
  return process.getuid?.() === 0 ? "/run/skink" : join(tmpdir(), `skink-${process.getuid?.()}`);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
