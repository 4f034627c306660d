import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import { killGroup } from "../link/process-group.ts";
import type { Places } from "./attachment.ts";
import { FORMS, fillIn, variableOf } from "./needs.ts";
import { started } from "./programs.ts";

/** Of what a check says, the end is kept. */
const MAX_OUTPUT_BYTES = 16 << 10;
/** So long what was said before the end is waited for. */
const LAST_WORDS_MS = 1000;
/** What a shell answers where it can't run a command, or finds none. */
const NOT_RUN = [126, 127];

export interface Verdict {
  readonly passed: boolean;
  /** "exit code 4", "killed by SIGSEGV", "it did not end within 60 s": one line. */
  readonly how: string;
  /** What it said on stdout and stderr, as it came; the end of it. */
  readonly output: string;
}

export interface CheckOrder {
  /** For the shell. */
  readonly command: string;
  readonly timeoutMs: number;
  readonly env: NodeJS.ProcessEnv;
  /** Ends the check at once; its verdict counts for nothing then. */
  readonly signal: AbortSignal;
}

/** Runs a check on a state. Rejects with `bad-check` where the command can't be run at all. */
export async function runCheck({ command, timeoutMs, env, signal }: CheckOrder, places: Places): Promise<Verdict> {
  const forms = FORMS.flatMap((form) => (places[form] === undefined ? [] : [[variableOf(form), places[form]]]));
  const child = spawn("/bin/sh", ["-c", fillIn(command, places)], {
    env: { ...env, ...Object.fromEntries(forms) },
    // A group of its own, which ends as a whole.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = Buffer.alloc(0);
  for (const pipe of [child.stdout, child.stderr]) {
    pipe.on("data", (bytes: Buffer) => {
      output = Buffer.concat([output, bytes]).subarray(-MAX_OUTPUT_BYTES);
    });
  }
  await started(child, "/bin/sh");
  let isLate = false;
  const end = (): void => killGroup(child.pid as number);
  const timer = setTimeout(() => {
    isLate = true;
    end();
  }, timeoutMs);
  signal.addEventListener("abort", end);
  if (signal.aborted) end();
  const closed = once(child, "close");
  const [code, killer] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
  // What it has left in the background would keep the state in use.
  end();
  // Who has left the group may keep the pipes open for as long as it likes.
  await Promise.race([closed, delay(LAST_WORDS_MS)]);
  child.stdout.destroy();
  child.stderr.destroy();
  const text = output.toString("utf8");
  if (code !== null && NOT_RUN.includes(code)) {
    const said = text.trim().split("\n").at(-1) || `exit code ${code}`;
    throw new SkinkError("bad-check", `Cannot run the check: ${said}, a command that can be run was wanted`);
  }
  const how = isLate
    ? `it did not end within ${timeoutMs / 1000} s`
    : code === null
      ? `killed by ${killer}`
      : `exit code ${code}`;
  return { passed: code === 0, how, output: text };
}
