/** npm run conformance: who loses data when a block server is killed, and who doesn't behind Skink. `--help` says more. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { betweenMarks } from "../bench/document.ts";
import { type Machine, thisMachine } from "../bench/results.ts";
import { percentile } from "../bench/statistics.ts";
import { figure, table } from "../bench/table.ts";
import { readCommandLine, wholeNumber } from "../src/terminal/command-line.ts";
import { onInterruption } from "../src/terminal/interruption.ts";
import { Progress } from "../src/terminal/progress.ts";
import { type Finding, runKills, type Via } from "../test/conformance-run.ts";
import { DISK_BYTES, SUBJECTS, type Subject } from "../test/conformance-servers.ts";
import { peer } from "../test/peers.ts";
import { inScene } from "../test/scene.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/comparison.md", import.meta.url));
const START = "<!-- results: written by npm run conformance -->";
const END = "<!-- end of results -->";
const KILLS = 50;
const SEED = 1;
const VIAS: readonly Via[] = ["alone", "Skink"];
const EXIT_FAILED = 1;

const RECOVERIES = {
  "nbdkit-retry": "retry filter",
  "qemu-reconnect": "reconnect-delay",
  client: "client reconnects",
} as const;

const HELP = `usage: npm run conformance -- [--kills N] [--seed N] [--only PATTERN] [--json]

Kills block servers by SIGKILL under a load that knows what each sector has to hold, each one alone, with its usual
recovery, and through Skink (shadow in memory, nothing else set). The servers:
${SUBJECTS.map(({ name, recovery }) => `  ${name}: ${recovery === undefined ? "behind a front without a shadow" : RECOVERIES[recovery]}`).join("\n")}

options:
  --kills N        of each server, each way (${KILLS})
  --seed N         of the times of the kills, and of the load (${SEED})
  --only PATTERN   only the servers whose names a regular expression matches
  --json           one JSON object on stdout in place of the table
  --help           this text

A run of all servers that are installed, with ${KILLS} kills or more, is kept in docs/comparison.md. It takes about ten minutes.
Files are made in a folder under TMPDIR, and need some hundred MiB.

Exit code: 0 where Skink lost nothing and no request failed, whatever the servers alone did (a store that dies with its
process has to fail rather than to serve zeroes); 1 where it did; 2 for bad usage.
What needs a program that is missing is left out by name; with SKINK_REQUIRE_PEERS=1 that fails.`;

interface Row {
  readonly subject: Subject;
  readonly via: Via;
  /** Or why there is none. */
  readonly finding: Finding | string;
}

interface Options {
  readonly kills: number;
  readonly seed: number;
  readonly only: RegExp | undefined;
  readonly json: boolean;
}

const progress = new Progress();
process.exitCode = await onInterruption(main);

async function main(signal: AbortSignal): Promise<number> {
  const options = readArguments();
  const { kills, seed, only, json } = options;

  const wanted = SUBJECTS.filter(({ name }) => only?.test(name) ?? true);
  const leftOut = wanted.flatMap(({ name, peers }) => {
    const missing = peer(...peers);
    return missing === false ? [] : [`${name}: ${missing}`];
  });
  const subjects = wanted.filter(({ peers }) => peer(...peers) === false);
  const rows: Row[] = [];
  for (const subject of subjects) {
    for (const via of VIAS) {
      const finding = await findingOf(subject, via, options, signal);
      if (finding === undefined) return EXIT_FAILED;
      rows.push({ subject, via, finding });
    }
  }
  progress.clear();
  const versions = versionsOf(subjects);
  const text = table(
    ["server", "recovery", "kills", "requests", "I/O errors", "lost", "… flushed", "stall p50 ms", "max ms", ""],
    rows.map(cellsOf),
  );
  if (json) console.log(JSON.stringify({ seed, versions, rows: rows.map(asJson) }, undefined, 2));
  else console.log(`${versions.join("\n")}\n\n${text}`);
  for (const { subject, via, finding } of rows) {
    if (typeof finding === "string") console.error(`FAILED: ${subject.name}, ${via}: ${finding}`);
  }
  for (const what of leftOut) console.error(`left out: ${what}`);
  const isWhole = rows.every(({ finding }) => typeof finding !== "string");
  if (isWhole && only === undefined && kills >= KILLS) {
    writeDocument([text, origin(options, versions, thisMachine()), ...leftOut.map((what) => `Left out: ${what}.`)]);
  }
  const isWell = isWhole && rows.every((row) => row.via === "alone" || isKept(row));
  return isWell && (leftOut.length === 0 || process.env.SKINK_REQUIRE_PEERS !== "1") ? 0 : EXIT_FAILED;
}

/** `undefined` where it was interrupted. */
async function findingOf(
  subject: Subject,
  via: Via,
  { kills, seed }: Options,
  signal: AbortSignal,
): Promise<Finding | string | undefined> {
  const say = (count: number): void => progress.say(`${subject.name}, ${via}: ${count} of ${kills} kills`);
  say(0);
  try {
    let finding: Finding | undefined;
    await inScene(async (scene) => {
      const { promise: interrupted, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(new Error("Interrupted")), { once: true });
      signal.throwIfAborted();
      const running = runKills(scene, subject, { via, kills, seed, bytes: DISK_BYTES, signal, progress: say });
      // Once interrupted, it goes wrong in any way.
      running.catch(() => {});
      finding = await Promise.race([running, interrupted]);
    });
    return finding as Finding;
  } catch (error) {
    if (!signal.aborted) return (error instanceof Error ? error.message : String(error)).trim();
    progress.clear();
    console.error("Interrupted");
    return undefined;
  }
}

function readArguments(): Options {
  const options = {
    kills: { type: "string", default: `${KILLS}` },
    seed: { type: "string", default: `${SEED}` },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  } as const;
  return readCommandLine(HELP, { options }, ({ values }) => {
    const only = values.only === undefined ? undefined : new RegExp(values.only);
    if (only !== undefined && !SUBJECTS.some(({ name }) => only.test(name))) {
      throw new Error(`Cannot use --only ${values.only}: it matches no server, one of those of --help was wanted`);
    }
    return {
      kills: wholeNumber("kills", values.kills, 1),
      seed: wholeNumber("seed", values.seed),
      only,
      json: values.json,
    };
  });
}

function versionsOf(subjects: readonly Subject[]): string[] {
  const commands = new Map(subjects.map(({ version }) => [version.join(" "), version] as const));
  const lines = [...commands.values()].flatMap(([program, ...args]) => {
    if (program === undefined) return [];
    const [said = ""] = execFileSync(program, args, { encoding: "utf8" }).split("\n", 1);
    // nbd-server makes a sentence of it.
    return [said.slice(Math.max(0, said.indexOf(program)))];
  });
  return [`Node ${process.version}`, ...lines];
}

function cellsOf({ subject, via, finding }: Row): string[] {
  const recovery =
    via === "Skink" ? "Skink" : subject.recovery === undefined ? "Skink, no shadow" : RECOVERIES[subject.recovery];
  if (typeof finding === "string") return [subject.name, recovery, "", "", "", "", "", "", "", "NOT RUN"];
  const { faults, requests, errors, lost, flushLies, stallsMs } = finding;
  const counts = [faults, requests, errors, lost, flushLies].map((count) => count.toLocaleString("en-US"));
  const stalls = [50, 100].map((percent) => figure(percentile(stallsMs, percent)));
  return [subject.name, recovery, ...counts, ...stalls, verdictOf(finding)];
}

function verdictOf({ lost, errors, state }: Finding): string {
  if (lost > 0) return errors > 0 ? "LOST, with errors" : "LOST, in silence";
  if (state === "failed") return "says so, and fails";
  return errors > 0 ? "kept, with errors" : "kept";
}

function isKept({ subject, finding }: Row): boolean {
  if (typeof finding === "string" || finding.lost > 0) return false;
  return subject.outlives ? finding.errors === 0 && finding.state === "live" : finding.state === "failed";
}

function asJson({ subject, via, finding }: Row): unknown {
  const what = { server: subject.name, via, recovery: via === "Skink" ? "Skink" : subject.recovery };
  return typeof finding === "string"
    ? { ...what, failure: finding }
    : { ...what, ...finding, verdict: verdictOf(finding) };
}

function origin({ kills, seed }: Options, versions: readonly string[], { cpu, cpus, kernel }: Machine): string {
  return `*${kills} kills each, seed ${seed}; ${versions.join(", ")}; ${cpu}, ${cpus} CPUs, Linux ${kernel}.*`;
}

function writeDocument(parts: readonly string[]): void {
  writeFileSync(DOCUMENT, betweenMarks(readFileSync(DOCUMENT, "utf8"), START, END, parts.join("\n\n")));
}
