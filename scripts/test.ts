/**
 * npm test: every *.test.ts under src/, test/ and bench/, or those whose path contains one of the arguments. With --long, npm run
 * test:long, those that end in .long.test.ts instead: they take minutes of both cores, and check the checkers.
 * Says by name which tests were left out and why. With SKINK_REQUIRE_PEERS=1 leaving one out is a failure.
 */
import { globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

/** Test files that run at once. Most of them wait for processes of their own. */
const CONCURRENT_FILES = 2;
/** The longest that one test may take. */
const TEST_TIMEOUT_MS = 180_000;
/** The longest that all of them may take: a file whose process doesn't end is not one test's fault. */
const RUN_TIMEOUT_MS = 1_200_000;

const LONG = "--long";
const LONG_SUFFIX = ".long.test.ts";

interface LeftOut {
  readonly name: string;
  readonly why: string;
}

const [wanted, isLong] = argumentsOf(process.argv.slice(2));
const cwd = fileURLToPath(new URL("..", import.meta.url));
const files = globSync("{src,test,bench}/**/*.test.ts", { cwd })
  .filter((file) => file.endsWith(LONG_SUFFIX) === isLong)
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`Cannot run tests: no test file has ${wanted.join(" or ")} in its path, at least one was wanted`);
  process.exit(2);
}

// Every test process loads much the same modules: what one of them has compiled, the others need not.
const compiled = mkdtempSync(join(tmpdir(), "skink-compiled-"));
process.env.NODE_COMPILE_CACHE = compiled;
process.on("exit", () => rmSync(compiled, { recursive: true, force: true }));

const leftOut: LeftOut[] = [];
let passed = 0;
let failed = 0;
const startedAt = performance.now();
const tests = run({
  files,
  cwd,
  concurrency: CONCURRENT_FILES,
  timeout: TEST_TIMEOUT_MS,
  isolation: "process",
  signal: AbortSignal.timeout(RUN_TIMEOUT_MS),
});
tests.on("test:pass", (event) => {
  if (event.skip !== undefined) leftOut.push({ name: event.name, why: String(event.skip) });
  else if (event.details.type !== "suite") passed++;
});
tests.on("test:fail", (event) => {
  if (event.details.type !== "suite") failed++;
});
const report = tests.compose(new spec());
report.on("end", conclude);
report.pipe(process.stdout);

function argumentsOf(given: readonly string[]): [wanted: string[], isLong: boolean] {
  return [given.filter((argument) => argument !== LONG), given.includes(LONG)];
}

function conclude(): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const peersRequired = process.env.SKINK_REQUIRE_PEERS === "1";
  const lines = [""];
  for (const { name, why } of leftOut) lines.push(`left out: ${name}: ${why}`);
  lines.push(`${passed} passed, ${failed} failed, ${leftOut.length} left out, in ${seconds} s`);
  if (peersRequired && leftOut.length > 0) lines.push("FAILED: tests were left out, and SKINK_REQUIRE_PEERS is 1");
  console.log(lines.join("\n"));
  if (failed > 0 || passed === 0 || (peersRequired && leftOut.length > 0)) process.exitCode = 1;
}
