import { parseArgs } from "node:util";
import { sweep } from "./sweep.ts";
import { runWorld } from "./world.ts";

const USAGE = "usage: npm run sim -- [--seeds N] [--from S] [--workers N] [--twice] [--verbose]";
const PROGRESS_MS = 1000;

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    workers: { type: "string", default: "1" },
    twice: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});
const [seeds, from, workers] = [values.seeds, values.from, values.workers].map(wholeNumber);
if (seeds === undefined || from === undefined || workers === undefined || workers === 0) {
  console.error(USAGE);
  process.exit(2);
}

if (values.verbose) {
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
    twiceEvery: values.twice ? 1 : 20,
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
  if (result.failure !== undefined) {
    const { seed, message, lines } = result.failure;
    console.log(`seed ${seed} broke ${message}`);
    for (const line of lines) console.log(`  ${line}`);
    console.log(`replay it: npm run sim -- --seeds 1 --from ${seed} --verbose`);
    process.exitCode = 1;
  }
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
