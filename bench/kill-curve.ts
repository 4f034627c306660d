import { setTimeout as delay } from "node:timers/promises";
import type { Progress } from "../src/terminal/progress.ts";
import { type Curve, type CurvePoint, drawKillCurves, intervalText } from "./curve.ts";
import { DEPTH, LoadedDisk } from "./loaded-disk.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { mean } from "./statistics.ts";
import { figure, table } from "./table.ts";
import { VOLATILE_DRIVER } from "./volatile.ts";

const INTERVALS_MS = [10_000, 5000, 2000, 1000, 500, 250, 100, 50];
const QUICK_INTERVALS_MS = [1000, 250, 100];
/** A run with kills lasts at least so long, in whole intervals. */
const RUN_MS = 3500;
const QUICK_RUN_MS = 1000;
/** A run without, before each of the others. */
const CALM_RUN_MS = 1500;
const QUICK_CALM_RUN_MS = 400;
const WARM_UP_MS = 3000;
const QUICK_WARM_UP_MS = 500;
const ROUNDS = 2;
const QUICK_ROUNDS = 1;
/** From the start of a load until it counts. */
const SETTLE_MS = 50;
/** Of the undisturbed throughput, with standby. */
const GOALS: readonly CurvePoint[] = [
  { intervalMs: 1000, share: 0.9 },
  { intervalMs: 250, share: 0.6 },
];

/** A run: requests a second. */
interface Run {
  /** `undefined`: undisturbed. */
  readonly intervalMs: number | undefined;
  readonly rate: number;
  /** Those that found a process to kill. */
  readonly kills: number;
}

interface Side {
  readonly name: string;
  readonly disk: LoadedDisk;
  /** In the order in which they were; between any two with kills there is one without, and at both ends. */
  readonly runs: Run[];
}

interface Point extends CurvePoint {
  readonly rate: number;
  readonly undisturbedRate: number;
  readonly kills: number;
}

export const killCurve: Part = {
  name: "kill-curve",
  summary: "throughput while the driver is killed each 10 s … 50 ms, beside the undisturbed one",
  needs: [],

  async run(bench, settings, progress) {
    const { quick } = settings;
    const intervals = quick ? QUICK_INTERVALS_MS : INTERVALS_MS;
    const [runMs, calmRunMs] = quick ? [QUICK_RUN_MS, QUICK_CALM_RUN_MS] : [RUN_MS, CALM_RUN_MS];
    const spec = `${VOLATILE_DRIVER}?size=256M`;
    const sides: Side[] = [];
    for (const [name, flags] of [
      ["standby", ["--standby", "--shared"]] as const,
      ["no standby", ["--shared"]] as const,
    ]) {
      const disk = await LoadedDisk.start(bench, { name: `${sides.length}`, spec, flags });
      sides.push({ name, disk, runs: [] });
      progress.say(`warming up, ${name}`);
      await run(disk, quick ? QUICK_WARM_UP_MS : WARM_UP_MS, undefined, bench.signal);
    }
    const calm = async (side: Side): Promise<void> => {
      say(progress, side, undefined);
      side.runs.push(await run(side.disk, calmRunMs, undefined, bench.signal));
    };
    for (let round = 0; round < (quick ? QUICK_ROUNDS : ROUNDS); round++) {
      for (const intervalMs of round % 2 === 0 ? intervals : intervals.toReversed()) {
        for (const side of sides) {
          await calm(side);
          say(progress, side, intervalMs);
          const lengthMs = Math.ceil(runMs / intervalMs) * intervalMs;
          side.runs.push(await run(side.disk, lengthMs, intervalMs, bench.signal));
        }
      }
    }
    for (const side of sides) await calm(side);

    progress.say("reading everything back");
    const failures: string[] = [];
    for (const { disk } of sides) failures.push(...(await disk.end()));
    const curves = sides.map(({ name, runs }) => ({ name, points: intervals.map((ms) => pointOf(runs, ms)) }));
    const kills = sides.flatMap(({ runs }) => runs).reduce((sum, run) => sum + run.kills, 0);
    const completed = sides.reduce((sum, { disk }) => sum + disk.load.tally.requests, 0);
    return {
      report: {
        part: "kill-curve",
        machine: thisMachine(),
        method:
          `The volatile example driver under a verifying load of ${DEPTH} requests in flight (4 KiB writes, a quarter ` +
          "reads, a flush in 32), its process killed with SIGKILL at fixed intervals, whether it is live by then or " +
          "not. Two fronts take turns, with and without standby. Each run with kills stands between two undisturbed " +
          `ones on the same front, whose mean is its 100 %. ${quick ? QUICK_ROUNDS : ROUNDS} rounds, ` +
          `${kills} kills, ${completed} requests, ${failures.length} errors or lost writes.`,
        data: { curves, runs: sides.map(({ name, runs }) => ({ name, runs })) },
        tables: [tableOf(intervals, curves)],
        verdicts: [
          ...GOALS.map(({ intervalMs, share: goal }) => {
            const share = curves[0]?.points.find((point) => point.intervalMs === intervalMs)?.share ?? Number.NaN;
            return {
              goal: `a kill each ${intervalText(intervalMs)}, standby: at least ${percent(goal)} of the undisturbed throughput`,
              measured: percent(share),
              met: share >= goal,
            };
          }),
          {
            goal: "kill-curve: no error, no lost write",
            measured: `${failures.length} in ${completed} requests and ${kills} kills`,
            met: failures.length === 0,
          },
        ],
      },
      picture: drawKillCurves(curves, GOALS),
      failures,
    };
  },
};

/** Counts what a load completes in so long, while the driver is killed in the middle of each interval. */
async function run(
  disk: LoadedDisk,
  lengthMs: number,
  intervalMs: number | undefined,
  signal: AbortSignal,
): Promise<Run> {
  const { load } = disk;
  load.start();
  await delay(SETTLE_MS, undefined, { signal });
  const startedAt = performance.now();
  const before = load.tally.requests;
  const passed = (ms: number): Promise<void> =>
    delay(Math.max(0, startedAt + ms - performance.now()), undefined, { signal });
  let kills = 0;
  if (intervalMs !== undefined) {
    for (let at = intervalMs / 2; at < lengthMs && !disk.hasFailed; at += intervalMs) {
      await passed(at);
      if (await disk.kill()) kills++;
    }
  }
  await passed(lengthMs);
  const rate = ((load.tally.requests - before) * 1000) / (performance.now() - startedAt);
  await disk.soothe();
  await load.stop();
  return { intervalMs, rate, kills };
}

function pointOf(runs: readonly Run[], intervalMs: number): Point {
  const indices = runs.flatMap((run, index) => (run.intervalMs === intervalMs ? [index] : []));
  const rates = (distances: readonly number[]): number[] =>
    distances.flatMap((distance) => indices.map((index) => runs[index + distance]?.rate ?? Number.NaN));
  const rate = mean(rates([0]));
  const undisturbedRate = mean(rates([-1, 1]));
  const kills = indices.reduce((sum, index) => sum + (runs[index]?.kills ?? 0), 0);
  return { intervalMs, share: rate / undisturbedRate, rate, undisturbedRate, kills };
}

function tableOf(
  intervals: readonly number[],
  curves: readonly (Curve & { readonly points: readonly Point[] })[],
): string {
  const heads = curves.flatMap(({ name }) => [name, "requests/s", "undisturbed", "kills"]);
  const rows = intervals.map((ms, index) => [
    intervalText(ms),
    ...curves.flatMap(({ points }) => {
      const { share, rate, undisturbedRate, kills } = points[index] as Point;
      return [percent(share), figure(rate), figure(undisturbedRate), `${kills}`];
    }),
  ]);
  return table(["a kill each", ...heads], rows);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function say(progress: Progress, { name, runs }: Side, intervalMs: number | undefined): void {
  const what = intervalMs === undefined ? "undisturbed" : `a kill each ${intervalText(intervalMs)}`;
  progress.say(`${name}, run ${runs.length + 1}, ${what}`);
}
