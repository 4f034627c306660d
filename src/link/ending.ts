import type { FaultKind } from "../block/fault.ts";
import type { DyingCause } from "./control.ts";

/** What is known of a process that has ended by itself, or by somebody else's hand. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it said last, if it ended itself. */
  readonly lastWords: { readonly cause: DyingCause; readonly message: string } | undefined;
  /** It printed that its heap was full. */
  readonly saidHeapFull: boolean;
  /** The kernel has killed a process for want of memory while it ran. */
  readonly oomKilled: boolean;
}

/** Signals by which a process is ended for what it does itself. */
const OWN_DOING: ReadonlySet<string> = new Set<NodeJS.Signals>([
  "SIGABRT",
  "SIGBUS",
  "SIGFPE",
  "SIGILL",
  "SIGSEGV",
  "SIGSYS",
  "SIGTRAP",
]);
/** What a shell, or Node itself, makes of a process that aborted. */
const ABORTED = 134;
const BY_LAST_WORDS: Readonly<Record<DyingCause, FaultKind>> = {
  exception: "exception",
  rejection: "rejection",
  close: "exit",
};

/** What kind of end it was. `how`: one line, for example "killed by SIGKILL". */
export function nameEnding(ending: Ending): { kind: FaultKind; how: string } {
  const { code, signal, lastWords } = ending;
  const end = signal !== null ? `killed by ${signal}` : `exit code ${code}`;
  if (ending.saidHeapFull && mayHaveAborted(ending))
    return { kind: "out-of-memory", how: `${end}: its JavaScript heap was full` };
  if (signal === "SIGKILL" && ending.oomKilled) return { kind: "out-of-memory", how: `${end} for want of memory` };
  const how = lastWords === undefined ? end : `${end}: ${lastWords.message}`;
  if (signal !== null) return { kind: OWN_DOING.has(signal) ? "signal" : "killed", how };
  return { kind: lastWords === undefined ? "exit" : BY_LAST_WORDS[lastWords.cause], how };
}

/** Whether it ended as Node ends when its heap is full. */
export function mayHaveAborted({ code, signal }: Pick<Ending, "code" | "signal">): boolean {
  return signal === "SIGABRT" || signal === "SIGTRAP" || code === ABORTED;
}
