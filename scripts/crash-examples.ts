/** npm run crash-examples: who survives a power cut on a Skink device, and who doesn't. `--help` says more. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { betweenMarks } from "../bench/document.ts";
import { thisMachine } from "../bench/results.ts";
import { table } from "../bench/table.ts";
import { readCommandLine, wholeNumber } from "../src/terminal/command-line.ts";
import { onInterruption } from "../src/terminal/interruption.ts";
import { Progress } from "../src/terminal/progress.ts";
import { type Recording, record } from "../test/crash-recording.ts";
import { check, type Finding, isAsExpected, peersOf, TRIALS, type Trial, titleOf } from "../test/crash-trials.ts";
import { peer } from "../test/peers.ts";
import { inScene } from "../test/scene.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/crashes.md", import.meta.url));
const START = "<!-- results: written by npm run crash-examples -->";
const END = "<!-- end of results -->";
const STATES = 200;
const SEED = 1;
const EXIT_FAILED = 1;
/** Of what a check says, as it is shown. */
const MAX_SAID = 80;

const HELP = `usage: npm run crash-examples -- [--only PATTERN] [--states N] [--seed N] [--all] [--keep FOLDER] [--json]

Records what file systems, databases and small stores (examples/crash) write to a Skink device, and checks with skink crashes
what power cuts may leave of it: on an honest disk, and on one that swallows flushes. The trials:
${TRIALS.map((trial) => `  ${titleOf(trial)}: ${trial.survives ? "survives" : "has to fail"}`).join("\n")}

options:
  --only PATTERN   only the trials whose names, as above, a regular expression matches
  --states N       how many states of each at most (${STATES})
  --seed N         draws them where there are more (${SEED})
  --all            go on after a state has failed
  --keep FOLDER    keep the logs there, to see a failing state again by the command that is printed
  --json           one JSON object on stdout in place of the table
  --help           this text

A run of all trials with ${STATES} states or more is kept in docs/crashes.md. It takes some minutes.

Exit code: 0 where all went as it has to; 1 where something failed that should pass, or passed that should fail; 2 for bad usage.
What needs a program that is missing, or root, is left out by name; with SKINK_REQUIRE_PEERS=1 that fails.`;

interface Options {
  readonly only: RegExp | undefined;
  readonly states: number;
  readonly seed: number;
  readonly all: boolean;
  /** Where logs are kept. */
  readonly keep: string | undefined;
  readonly json: boolean;
}

interface Row {
  readonly trial: Trial;
  readonly finding: Finding;
}

const progress = new Progress();
process.exitCode = await onInterruption(main);

async function main(signal: AbortSignal): Promise<number> {
  const options = readArguments();
  const { only, states, json, keep } = options;

  const wanted = TRIALS.filter((trial) => only?.test(titleOf(trial)) ?? true);
  const leftOut = wanted.flatMap((trial) => {
    const missing = peer(...peersOf(trial));
    return missing === false ? [] : [`${titleOf(trial)}: ${missing}`];
  });
  if (keep !== undefined) mkdirSync(keep, { recursive: true });
  const trials = wanted.filter((trial) => peer(...peersOf(trial)) === false);
  const rows: Row[] = [];
  try {
    for (const group of Object.values(Object.groupBy(trials, ({ workload }) => workload))) {
      rows.push(...(await findingsOf(group, options, signal)));
    }
  } catch (error) {
    progress.clear();
    console.error(signal.aborted ? "Interrupted" : (error as Error).message);
    return EXIT_FAILED;
  }
  progress.clear();
  const text = table(
    ["workload", "disk", "states", "failing", "smallest", "missing in it", "s", "", "the check says"],
    rows.map(cellsOf),
  );
  console.log(json ? JSON.stringify({ seed: options.seed, rows: rows.map(asJson) }, undefined, 2) : text);
  for (const { trial, finding } of rows) {
    if (keep !== undefined && finding.smallest !== undefined)
      console.error(`${titleOf(trial)}:\n  ${finding.smallest.again}`);
  }
  const bad = rows.filter(({ trial, finding }) => !isAsExpected(trial, finding));
  for (const { trial } of bad) {
    const what = trial.survives ? "a state failed; --keep FOLDER keeps its log" : "no state failed";
    console.error(`FAILED: ${titleOf(trial)}: ${what}`);
  }
  for (const what of leftOut) console.error(`left out: ${what}`);
  if (bad.length === 0 && leftOut.length === 0 && only === undefined && states >= STATES) writeDocument(text, options);
  return bad.length === 0 && (leftOut.length === 0 || process.env.SKINK_REQUIRE_PEERS !== "1") ? 0 : EXIT_FAILED;
}

/** Of trials with the same workload, which is recorded once. */
async function findingsOf(
  trials: readonly Trial[],
  { states, seed, all, keep }: Options,
  signal: AbortSignal,
): Promise<Row[]> {
  const rows: Row[] = [];
  await inScene(async (scene) => {
    let recording: Recording | undefined;
    for (const trial of trials) {
      const folder = keep ?? scene.folder;
      progress.say(`${titleOf(trial)}: recording`);
      recording ??= await record(scene, trial.workload, { folder, signal });
      progress.say(`${titleOf(trial)}: checking`);
      rows.push({ trial, finding: await check(scene, trial, recording, { states, seed, all, signal }) });
    }
  });
  return rows;
}

function readArguments(): Options {
  const options = {
    only: { type: "string" },
    states: { type: "string", default: `${STATES}` },
    seed: { type: "string", default: `${SEED}` },
    all: { type: "boolean", default: false },
    keep: { type: "string" },
    json: { type: "boolean", default: false },
  } as const;
  return readCommandLine(HELP, { options }, ({ values }) => {
    const { only, states, seed, all, keep, json } = values;
    if (only !== undefined && !TRIALS.some((trial) => titleOf(trial).match(only))) {
      throw new Error(`Cannot use --only ${only}: no trial matches it, one at least was wanted`);
    }
    return {
      only: only === undefined ? undefined : new RegExp(only),
      states: wholeNumber("states", states, 1),
      seed: wholeNumber("seed", seed),
      all,
      keep: keep === undefined ? undefined : resolve(keep),
      json,
    };
  });
}

function cellsOf({ trial, finding }: Row): string[] {
  const { checked, exhaustive, failures, smallest, seconds } = finding;
  return [
    trial.name,
    trial.lying ? "swallows flushes" : "honest",
    `${checked}${exhaustive ? ", all" : ""}`,
    `${failures.length}`,
    smallest?.state ?? "",
    smallest === undefined ? "" : missingIn(smallest.missing),
    seconds.toFixed(1),
    isAsExpected(trial, finding) ? "as it has to" : "UNEXPECTED",
    smallest === undefined ? "" : lastLine(smallest.output),
  ];
}

function missingIn(
  missing: readonly { readonly length: number; readonly missing: readonly { readonly length: number }[] }[],
): string {
  if (missing.length === 0) return "nothing";
  const bytes = missing.flatMap((change) => change.missing).reduce((sum, { length }) => sum + length, 0);
  return `${bytes} bytes of ${missing.length} ${missing.length === 1 ? "write" : "writes"}`;
}

/** Of what a check said. */
function lastLine(output: string): string {
  const said = output.trim().split("\n").at(-1) ?? "";
  // Where the state was set up says nothing any more.
  const line = said.replace(/\/\S*\/(?=\w)/g, "");
  return line.length <= MAX_SAID ? line : `${line.slice(0, MAX_SAID - 1)}…`;
}

function asJson({ trial, finding }: Row): unknown {
  const { name, workload, survives } = trial;
  return { name, workload, survives, asExpected: isAsExpected(trial, finding), ...finding };
}

function writeDocument(text: string, { states, seed }: Options): void {
  const { cpu, cpus, kernel, node } = thisMachine();
  const origin = `*${states} states each at most, seed ${seed}; ${cpu}, ${cpus} CPUs, Linux ${kernel}, Node ${node}.*`;
  writeFileSync(DOCUMENT, betweenMarks(readFileSync(DOCUMENT, "utf8"), START, END, `${text}\n\n${origin}`));
}
