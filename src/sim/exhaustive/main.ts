/** npm run exhaustive: every short script, every point of death, every rest of the caches. `--help` says more. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { readCommandLine, wholeNumber } from "../../terminal/command-line.ts";
import { STEPS, scriptCount } from "./scripts.ts";
import { SETTINGS } from "./setting.ts";
import type { Part, Survey } from "./survey.ts";

/** Of four there are 400,000 scripts for each setting: days. */
const MAX_STEPS = 4;
const HELP = `usage: npm run exhaustive [-- --steps N --home KIND --death WHOSE --one-in N --workers N]

Plays every script of up to N steps (write, FUA write, zero, trim on each range of 3 sectors; flush) on the real device,
supervisor and homes, with one death at every point where something has changed, and with everything that caches may have
left of it; then looks whether the promises P1, P2, P3 and P9 hold. States that lead to the same are played once.

  --steps N      the longest scripts, up to ${MAX_STEPS} (2)
  --home KIND    memory, shm or disk alone
  --death WHOSE  driver, front or power alone
  --one-in N     of the longest scripts one in N (1)
  --workers N    threads (as many as there are cores)`;
/** Scripts that a thread plays before it reports: those that differ in the last step alone, and have much in common. */
const BATCH = STEPS.length;

const { settings, steps, oneIn, workers } = readArguments();
const parts = settings.flatMap((setting): Part[] =>
  Array.from({ length: steps }, (_, index) => index + 1).flatMap((length) => {
    const every = length === steps ? oneIn : 1;
    const span = BATCH * every;
    return Array.from({ length: Math.ceil(scriptCount(length) / span) }, (_, batch) => ({
      setting,
      length,
      // Not always the same last step.
      from: batch * span + (batch % every),
      until: (batch + 1) * span,
      stride: every,
    }));
  }),
);

let scripts = 0;
let states = 0;
let plays = 0;
let done = 0;
let failure: string | undefined;
const startedAt = performance.now();
const progress = setInterval(() => console.error(told()), 1000);
const running = Array.from({ length: workers }, (_, index) => {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    workerData: parts.filter((_, part) => part % workers === index),
  });
  worker.on("message", (found: Survey) => {
    scripts += found.scripts;
    states += found.states;
    plays += found.plays;
    done++;
    failure ??= found.failure;
  });
  return worker;
});
const ends = running.map((worker) => {
  return new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("exit", () => resolve());
  });
});
for (const worker of running) worker.on("message", () => failure !== undefined && stop());
await Promise.all(ends);
clearInterval(progress);
console.log(told());
if (failure === undefined) console.log("no promise broken");
else {
  console.log(`broken: ${failure}`);
  process.exitCode = 1;
}

function stepsOf(text: string): number {
  const steps = wholeNumber("steps", text, 1);
  if (steps <= MAX_STEPS) return steps;
  throw new Error(`Cannot play scripts of ${steps} steps: there are too many, at most ${MAX_STEPS} were wanted`);
}

function stop(): void {
  for (const worker of running) void worker.terminate();
}

function told(): string {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  const share = ((100 * done) / parts.length).toFixed(0);
  return `${share} %: ${scripts} scripts, ${states} states after a death by ${plays} plays, ${seconds} s`;
}

function readArguments() {
  const options = {
    steps: { type: "string", default: "2" },
    home: { type: "string" },
    death: { type: "string" },
    "one-in": { type: "string", default: "1" },
    workers: { type: "string", default: String(availableParallelism()) },
  } as const;
  return readCommandLine(HELP, { options }, ({ values }) => {
    const { home, death } = values;
    const known = (name: "home" | "death", value: string | undefined): void => {
      const all = [...new Set(SETTINGS.map((setting) => setting[name]))];
      if (value !== undefined && !(all as string[]).includes(value))
        throw new Error(`Cannot use --${name} ${value}: there is no such thing, one of ${all.join(", ")} was wanted`);
    };
    known("home", home);
    known("death", death);
    const chosen = SETTINGS.filter(
      (setting) => (home ?? setting.home) === setting.home && (death ?? setting.death) === setting.death,
    );
    if (chosen.length === 0)
      throw new Error(`Cannot play home ${home} with death ${death}: nothing of it is left, another home was wanted`);
    return {
      settings: chosen,
      steps: stepsOf(values.steps),
      oneIn: wholeNumber("one-in", values["one-in"], 1),
      workers: wholeNumber("workers", values.workers, 1),
    };
  });
}
