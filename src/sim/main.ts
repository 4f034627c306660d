import { parseArgs } from "node:util";
import { describeCounts } from "./counts.ts";
import { sweep } from "./sweep.ts";
import { runWorld } from "./world.ts";

const USAGE = "usage: npm run sim -- [--seeds N] [--from S] [--workers N] [--twice] [--verbose]";
const HELP = `${USAGE}

  --seeds N     how many worlds (1000)
  --from S      the first one's seed (1)
  --workers N   threads (1)
  --twice       runs each world a second time, to see that it goes the same way
  --verbose     a line for each world, and all that happens in one that breaks a promise

The real core and the real homes under a seeded world of clients, drivers that crash, fronts that die and power cuts, its history
checked.`;
const PROGRESS_MS = 1000;

const { seeds, from, workers, twice, verbose } = readArguments();

/** What is asked for. Ends the process where that is help, or makes no sense. */
function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        seeds: { type: "string", default: "1000" },
        from: { type: "string", default: "1" },
        workers: { type: "string", default: "1" },
        twice: { type: "boolean", default: false },
        verbose: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(HELP);
      process.exit(0);
    }
    return {
      seeds: wholeNumber("seeds", values.seeds, 0),
      from: wholeNumber("from", values.from, 0),
      workers: wholeNumber("workers", values.workers, 1),
      twice: values.twice,
      verbose: values.verbose,
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

if (verbose) {
  for (let seed = from; seed < from + seeds; seed++) {
    const { hash, violation, requests, crashes, virtualMs, lines } = runWorld({ seed, recording: true });
    console.log(
      `seed ${seed} trace ${hash} requests ${requests} crashes ${crashes} virtual time ${virtualMs} ms`,
      violation === undefined ? "well" : violation.message,
    );
    if (violation === undefined) continue;
    for (const line of lines) console.log(`  ${line}`);
    process.exitCode = 1;
  }
} else {
  const started = Date.now();
  let told = started;
  const result = await sweep({
    from,
    seeds,
    workers,
    twiceEvery: twice ? 1 : 20,
    progress: (done) => {
      if (Date.now() - told < PROGRESS_MS) return;
      told = Date.now();
      process.stderr.write(`${done} of ${seeds} seeds, ${((told - started) / 1000).toFixed(0)} s\n`);
    },
  });
  const share = ((100 * result.fuaOverlapsAndCrashes) / Math.max(1, result.seeds)).toFixed(0);
  console.log(
    `${result.seeds} seeds, ${result.requests} requests, ${result.crashes} crashes, ` +
      `${share} % with an overlapping FUA request and a crash, ${((Date.now() - started) / 1000).toFixed(1)} s`,
  );
  console.log(describeCounts(result.counts));
  if (result.failure !== undefined) {
    const { seed, message, lines } = result.failure;
    console.log(`seed ${seed} broke ${message}`);
    for (const line of lines) console.log(`  ${line}`);
    console.log(`replay it: npm run sim -- --seeds 1 --from ${seed} --verbose`);
    process.exitCode = 1;
  }
}

function wholeNumber(name: string, text: string, least: number): number {
  if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text);
  throw new Error(`Cannot use --${name} ${text}: a whole number from ${least} on was wanted`);
}
