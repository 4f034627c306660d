import { readFileSync, writeFileSync } from "node:fs";
import { Progress } from "../terminal/progress.ts";
import { describeCounts } from "./counts.ts";
import { Coverage } from "./coverage.ts";
import { profileOf } from "./draw-profile.ts";
import { describeMarks, MARKED_SEEDS, unseen } from "./marks.ts";
import { type Options, readOptions } from "./options.ts";
import { shrink } from "./shrink.ts";
import { sweep } from "./sweep.ts";
import { type Outcome, runWorld } from "./world.ts";
import { describeScript, requestsOf, runScript, scriptOf, type WorldScript } from "./world-script.ts";

type SweepOptions = Extract<Options, { mode: "sweep" | "verbose" | "coverage" }>;

/** Without anything asked for, one in so many worlds is lived twice. */
const TWICE_EVERY = 20;
/** Coverage of the core alone, without what only real sockets, files and processes come to. */
const COVERED = ["shadow", "supervisor", "home", "nbd/server"];

const options = readOptions();
switch (options.mode) {
  case "shrink":
    shrinkSeed(options.seed, options.out);
    break;
  case "script":
    playScript(options.file);
    break;
  case "verbose":
    tellEach(options);
    break;
  case "sweep":
    await sweepAll(options);
    break;
  case "coverage": {
    const coverage = await Coverage.start(new URL("../", import.meta.url), COVERED);
    await sweepAll({ ...options, workers: 1 });
    for (const line of await coverage.report()) console.log(line);
  }
}

async function sweepAll({ from, seeds, deaths, workers, twice }: SweepOptions): Promise<void> {
  const startedAt = performance.now();
  const progress = new Progress({ isOften: true });
  const result = await sweep({
    from,
    seeds,
    deaths,
    workers,
    twiceEvery: twice ? 1 : TWICE_EVERY,
    progress: ({ seeds: done, crashes }) => {
      const share = deaths === undefined ? `${done} of ${seeds} seeds` : `${crashes} of ${deaths} deaths`;
      progress.say(`${share}, ${secondsSince(startedAt).toFixed(0)} s`);
    },
  });
  progress.clear();
  const share = ((100 * result.fuaOverlapsAndCrashes) / Math.max(1, result.seeds)).toFixed(0);
  const seconds = secondsSince(startedAt);
  console.log(
    `${result.seeds} seeds, ${result.requests} requests, ${result.crashes} driver deaths, ` +
      `${share} % with an overlapping FUA request and a death, ${seconds.toFixed(1)} s, ` +
      `${Math.round((result.crashes / seconds) * 3600)} deaths an hour`,
  );
  console.log(describeCounts(result.counts));
  console.log(describeMarks(result.marks));
  if (result.failure !== undefined) {
    const { seed, message, lines } = result.failure;
    console.log(`seed ${seed} broke ${message}`);
    for (const line of lines) console.log(`  ${line}`);
    console.log(`replay it: npm run sim -- --seeds 1 --from ${seed} --verbose`);
    console.log(`make it smaller: npm run sim -- --shrink ${seed}`);
    process.exitCode = 1;
  }
  const missing = unseen(result.marks);
  if (result.failure === undefined && result.seeds >= MARKED_SEEDS && missing.length > 0) {
    console.log(`never seen in ${result.seeds} worlds: ${missing.join(", ")}`);
    process.exitCode = 1;
  }
}

function tellEach({ from, seeds }: SweepOptions): void {
  for (let seed = from; seed < from + seeds; seed++) tell(runWorld({ seed, recording: true }));
}

function playScript(file: string): void {
  const script = readScript(file);
  if (script === undefined) return;
  for (const line of describeScript(script)) console.log(line);
  tell(runScript(script, true));
}

function readScript(file: string): WorldScript | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as WorldScript;
  } catch (error) {
    console.error(`Cannot read the world ${file}: ${(error as Error).message}, what --shrink writes was wanted`);
    process.exitCode = 2;
    return undefined;
  }
}

function tell({ seed, hash, violation, requests, crashes, virtualMs, lines }: Outcome): void {
  console.log(
    `seed ${seed} trace ${hash} requests ${requests} deaths ${crashes} virtual time ${virtualMs} ms`,
    violation === undefined ? "well" : violation.message,
  );
  if (violation === undefined) return;
  for (const line of lines) console.log(`  ${line}`);
  process.exitCode = 1;
}

function shrinkSeed(seed: number, out: string): void {
  const whole = scriptOf(seed, profileOf(seed));
  const startedAt = performance.now();
  const progress = new Progress({ isOften: true });
  if (runScript(whole).violation === undefined) {
    console.error(`Cannot shrink the world of seed ${seed}: it breaks no promise, one that does was wanted`);
    process.exitCode = 2;
    return;
  }
  const { script, runs } = shrink(whole, {
    run: (candidate) => {
      const { violation, played } = runScript(candidate);
      return { broken: violation, faults: played.faults };
    },
    progress: (requests, done) => progress.say(`${requests} requests, ${done} worlds tried`),
  });
  progress.clear();
  writeFileSync(out, `${JSON.stringify(script, undefined, 1)}\n`);
  console.log(
    `${requestsOf(whole)} requests became ${requestsOf(script)}, ${runs} worlds, ${secondsSince(startedAt).toFixed(1)} s`,
  );
  for (const line of describeScript(script)) console.log(line);
  tell(runScript(script, true));
  console.log(`run it again: npm run sim -- --script ${out}`);
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}
