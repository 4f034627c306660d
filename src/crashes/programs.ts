import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { SkinkError } from "../block/errors.ts";

/** Which package of Debian's brings a program. */
const PACKAGES: Readonly<Record<string, string>> = {
  nbdfuse: "libnbd-bin",
  fusermount3: "fuse3",
  losetup: "mount",
  mount: "mount",
  umount: "mount",
};
/** Of what a program says, the end is kept. */
const MAX_SAID = 4096;

export interface Ran {
  /** `null`: a signal has ended it. */
  readonly code: number | null;
  readonly stdout: string;
  /** One line. */
  readonly complaint: string;
}

/** Runs a program to its end. Throws `no-program` where there is none. */
export async function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ran> {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      said[name] = (said[name] + text).slice(-MAX_SAID);
    });
  }
  await started(child, command);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: said.stdout, complaint: oneLine(said.stderr) };
}

/** Rejects with `no-program` where there is no such program. */
export async function started(child: ChildProcess, command: string): Promise<void> {
  try {
    await once(child, "spawn");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const what = code === "ENOENT" ? "there is no such program" : message;
    const from = PACKAGES[command];
    const wanted = from === undefined ? "one" : `that of Debian's package ${from}`;
    throw new SkinkError("no-program", `Cannot run ${command}: ${what}, ${wanted} was wanted`, { cause: error });
  }
}

export function oneLine(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("; ");
}
