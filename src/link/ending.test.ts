import assert from "node:assert/strict";
import { test } from "node:test";
import type { FaultKind } from "../block/fault.ts";
import { type Ending, nameEnding } from "./ending.ts";

const ENDING: Ending = { code: null, signal: null, lastWords: undefined, saidHeapFull: false, oomKilled: false };

const CASES: readonly [what: string, ending: Partial<Ending>, kind: FaultKind, how: string][] = [
  ["an exit", { code: 0 }, "exit", "exit code 0"],
  ["a crash", { signal: "SIGSEGV" }, "signal", "killed by SIGSEGV"],
  ["an abort", { signal: "SIGABRT" }, "signal", "killed by SIGABRT"],
  ["somebody's kill", { signal: "SIGKILL" }, "killed", "killed by SIGKILL"],
  ["somebody's polite kill", { signal: "SIGTERM" }, "killed", "killed by SIGTERM"],
  [
    "the kernel's kill",
    { signal: "SIGKILL", oomKilled: true },
    "out-of-memory",
    "killed by SIGKILL for want of memory",
  ],
  ["a kill of another's, meanwhile", { signal: "SIGTERM", oomKilled: true }, "killed", "killed by SIGTERM"],
  [
    "a full heap",
    { signal: "SIGABRT", saidHeapFull: true },
    "out-of-memory",
    "killed by SIGABRT: its JavaScript heap was full",
  ],
  [
    "a full heap, seen by a shell",
    { code: 134, saidHeapFull: true },
    "out-of-memory",
    "exit code 134: its JavaScript heap was full",
  ],
  ["a full heap that was only talk", { code: 1, saidHeapFull: true }, "exit", "exit code 1"],
  [
    "an exception",
    { code: 1, lastWords: { cause: "exception", message: "uncaught exception: boom" } },
    "exception",
    "exit code 1: uncaught exception: boom",
  ],
  [
    "a rejection",
    { code: 1, lastWords: { cause: "rejection", message: "unhandled rejection: boom" } },
    "rejection",
    "exit code 1: unhandled rejection: boom",
  ],
  [
    "a close that failed",
    { code: 1, lastWords: { cause: "close", message: "close failed: boom" } },
    "exit",
    "exit code 1: close failed: boom",
  ],
];

for (const [what, ending, kind, how] of CASES) {
  test(`${what} is told by its name`, () => {
    assert.deepEqual(nameEnding({ ...ENDING, ...ending }), { kind, how });
  });
}
