/** npm run bench: how fast Skink is, beside others. `--help` says more. */
import { SkinkError } from "../src/block/errors.ts";
import { readCommandLine } from "../src/terminal/command-line.ts";
import { onInterruption } from "../src/terminal/interruption.ts";
import { Progress } from "../src/terminal/progress.ts";
import { peer } from "../test/peers.ts";
import { compare } from "./compare.ts";
import { devices } from "./devices.ts";
import { writeDocument } from "./document.ts";
import { flushes } from "./flushes.ts";
import { foreign } from "./foreign.ts";
import { frontDeath } from "./front-death.ts";
import { handover } from "./handover.ts";
import { homes } from "./homes.ts";
import { idle } from "./idle.ts";
import { killCurve } from "./kill-curve.ts";
import { overhead } from "./overhead.ts";
import type { Outcome, Part, Settings } from "./part.ts";
import { recovery } from "./recovery.ts";
import { formatReport, loadReport, type Report, saveReport } from "./results.ts";
import { upgrade } from "./upgrade.ts";
import { volatile } from "./volatile.ts";
import { Workbench } from "./workbench.ts";

const PARTS: readonly Part[] = [
  compare,
  overhead,
  volatile,
  homes,
  flushes,
  devices,
  recovery,
  killCurve,
  upgrade,
  frontDeath,
  handover,
  foreign,
  idle,
];
const SECONDS = 2;
const ROUNDS = 5;
const QUICK_SECONDS = 1;
const QUICK_ROUNDS = 1;
const EXIT_FAILED = 1;

const HELP = `usage: npm run bench -- [PART …] [options]

parts (${compare.name} where none is named, "all" for all of them):
${PARTS.map((part) => `  ${part.name.padEnd(11)} ${part.summary}`).join("\n")}

options:
  --quick          a short look: ${QUICK_ROUNDS} round of ${QUICK_SECONDS} s, fewer kills, upgrades and handovers
  --only PATTERN   of ${compare.name}, ${foreign.name} and ${handover.name}, the cases that a regular expression matches, such as "memory 4k.*qd64"
  --seconds N      length of one run (${SECONDS})
  --rounds N       runs for each server and case, whose median counts (${ROUNDS})
  --json           reports as JSON on stdout
  --help           this text

A full run (neither --quick nor --only, nothing left out or failed) is kept in bench/results and docs/performance.md.
Files are made in a folder under TMPDIR: it should be on a disk, and needs 1 GiB.
What needs fio, nbdkit or qemu-nbd is left out by name where they are missing; with SKINK_REQUIRE_PEERS=1 that fails.`;

const progress = new Progress();

try {
  process.exitCode = await onInterruption(main);
} catch (error) {
  progress.clear();
  if (!(error instanceof SkinkError)) throw error;
  console.error(error.message);
  process.exitCode = EXIT_FAILED;
}

async function main(signal: AbortSignal): Promise<number> {
  const { parts, settings, json, keeps } = readArguments();

  const reports: Report[] = [];
  const leftOut: string[] = [];
  let failed = false;
  for (const part of parts) {
    const missing = part.needs.length === 0 ? false : peer(...part.needs);
    if (missing !== false) {
      leftOut.push(`${part.name}: ${missing}`);
      continue;
    }
    const outcome = await runPart(part, settings, signal);
    reports.push(outcome.report);
    if (!json) console.log(`${formatReport(outcome.report)}\n`);
    const failures = outcome.failures ?? [];
    for (const failure of failures) console.error(`FAILED: ${part.name}: ${failure}`);
    failed ||= failures.length > 0;
    leftOut.push(...(outcome.leftOut ?? []));
    // What is incomplete or wrong doesn't take the place of good results.
    if (keeps && failures.length === 0 && outcome.leftOut === undefined) saveReport(outcome.report, outcome.picture);
  }
  if (keeps) writeDocument(PARTS.map(({ name }) => loadReport(name)).filter((report) => report !== undefined));
  if (json) console.log(JSON.stringify(reports, undefined, 2));
  for (const what of leftOut) console.error(`left out: ${what}`);
  return failed || (leftOut.length > 0 && process.env.SKINK_REQUIRE_PEERS === "1") ? EXIT_FAILED : 0;
}

async function runPart(part: Part, settings: Settings, signal: AbortSignal): Promise<Outcome> {
  const bench = new Workbench(signal);
  try {
    return await part.run(bench, settings, progress);
  } catch (error) {
    // Once it is interrupted, whatever went wrong went wrong for that.
    throw signal.aborted ? new SkinkError("interrupted", "Interrupted") : error;
  } finally {
    progress.clear();
    await bench.close();
  }
}

interface Options {
  readonly parts: readonly Part[];
  readonly settings: Settings;
  readonly json: boolean;
  /** Whether the results are to be kept. */
  readonly keeps: boolean;
}

function readArguments(): Options {
  const options = {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    seconds: { type: "string" },
    rounds: { type: "string" },
    json: { type: "boolean", default: false },
  } as const;
  return readCommandLine(HELP, { allowPositionals: true, options }, ({ values, positionals }) => {
    const { quick } = values;
    return {
      parts: partsNamed(positionals),
      settings: {
        quick,
        seconds: positive("seconds", values.seconds, quick ? QUICK_SECONDS : SECONDS),
        rounds: Math.ceil(positive("rounds", values.rounds, quick ? QUICK_ROUNDS : ROUNDS)),
        only: values.only === undefined ? undefined : new RegExp(values.only),
      },
      json: values.json,
      keeps: !quick && values.only === undefined,
    };
  });
}

function partsNamed(names: readonly string[]): readonly Part[] {
  if (names.length === 0) return [compare];
  if (names.includes("all")) return PARTS;
  return names.map((name) => {
    const part = PARTS.find((one) => one.name === name);
    if (part !== undefined) return part;
    throw new SkinkError(
      "bad-part",
      `Cannot run ${name}: it is no part, ${PARTS.map((one) => one.name).join(", ")} or all was wanted`,
    );
  });
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new SkinkError("bad-option", `Cannot use --${name} ${text}: a number above 0 was wanted`);
}
