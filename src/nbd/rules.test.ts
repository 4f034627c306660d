import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

/** What a server of the protocol has to keep, by number: tests are named for it, "rule 12: …". */
const RULES = [
  "an unknown client flag ends the connection",
  "an unknown option is read and answered UNSUP",
  "EXPORT_NAME can't carry an error; zeroes follow it, and nothing else",
  "options that have no data are refused with some; ABORT never is",
  "strings are bounded, and what is malformed is INVALID",
  "INFO and GO tell INFO_EXPORT, and agree",
  "SET_META_CONTEXT replaces, and counts for the export chosen",
  "LIST_META_CONTEXT without queries lists all",
  "a shutdown refuses what comes and finishes what is in flight",
  "handshakes, options and connections have limits",
  "TLS that is required is required of everything",
  "STARTTLS forgets what was before it, and believes no plain text behind it",
  "TLS 1.2 or newer, with no way back",
  "the largest payload bounds payloads alone",
  "a refused write has its payload read, within bounds",
  "ranges are compared without overflow",
  "each refusal has its error, and keeps the connection",
  "a bad magic ends the connection",
  "chunks cover a read, each byte once; errors are chunks",
  "what reads as zeroes is a hole",
  "a block status has an extent or more, within bounds",
  "replies come in any order, and do not pile up",
  "a flush covers what any connection was replied to",
  "FUA is durable, DISC finishes",
  "a fast zero is fast or ENOTSUP",
  "extended headers are used throughout",
];

test("every rule of the protocol has a test that is named for it", () => {
  const root = new URL("../../", import.meta.url).pathname;
  const files = globSync(["src/**/*.test.ts", "test/*.test.ts"], { cwd: root });
  const named = new Set<number>();
  for (const file of files) {
    for (const [, number] of readFileSync(`${root}${file}`, "utf8").matchAll(/["'`]rule (\d+): /g))
      named.add(Number(number));
  }
  const missing = RULES.map((rule, index) => `rule ${index + 1}: ${rule}`).filter((_, index) => !named.has(index + 1));
  assert.deepEqual(missing, []);
  assert(
    [...named].every((number) => number <= RULES.length),
    "a test is named for a rule that there isn't",
  );
});
