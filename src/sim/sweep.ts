import { Worker } from "node:worker_threads";
import { addCounts, type Counts, NO_COUNTS } from "./counts.ts";
import { addMarks, type MarkCounts, markCounts, NO_MARKS } from "./marks.ts";
import { type Outcome, runWorld } from "./world.ts";

export interface SweepOptions {
  readonly from: number;
  readonly seeds: number;
  /** When so many drivers have died it is enough. */
  readonly deaths?: number | undefined;
  /** Threads. */
  readonly workers: number;
  /** Run every n-th seed twice and compare the traces; 0 for none. */
  readonly twiceEvery: number;
  progress?(soFar: SweepResult): void;
}

export interface SweepResult {
  /** Seeds that were run: fewer than asked for if one of them failed. */
  readonly seeds: number;
  readonly fuaOverlapsAndCrashes: number;
  readonly crashes: number;
  readonly requests: number;
  readonly counts: Counts;
  readonly marks: MarkCounts;
  /** The first failure that was found. */
  readonly failure: Failure | undefined;
}

export interface Failure {
  readonly seed: number;
  readonly message: string;
  /** The last events about the sector concerned. */
  readonly lines: readonly string[];
}

/** What a worker is told, and what it tells: a batch of seeds at a time. */
export interface SweepTask {
  readonly from: number;
  readonly seeds: number;
  readonly stride: number;
  readonly twiceEvery: number;
}

const BATCH_SEEDS = 20;

/** Runs many worlds; ends with the first that breaks a promise. */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const { from, seeds, deaths = Number.POSITIVE_INFINITY, workers, twiceEvery, progress } = options;
  let total = empty();
  /** Whether it is enough. */
  const add = (part: SweepResult): boolean => {
    total = sum(total, part);
    progress?.(total);
    return total.crashes >= deaths || total.failure !== undefined;
  };
  if (workers === 1) {
    for (const part of sweepHere({ from, seeds, stride: 1, twiceEvery })) if (add(part)) break;
    return total;
  }
  const running: Worker[] = [];
  await new Promise<void>((done, fail) => {
    let left = workers;
    for (let i = 0; i < workers; i++) {
      const share = Math.ceil((seeds - i) / workers);
      const task: SweepTask = { from: from + i, seeds: share, stride: workers, twiceEvery };
      const worker = new Worker(new URL("./sweep-worker.ts", import.meta.url), { workerData: task });
      running.push(worker);
      worker.on("error", fail);
      worker.on("message", (part: SweepResult) => {
        if (add(part)) done();
      });
      worker.on("exit", () => {
        if (--left === 0) done();
      });
    }
  });
  await Promise.all(running.map((worker) => worker.terminate()));
  return total;
}

/** The same in this thread, batch by batch. */
export function* sweepHere({ from, seeds, stride, twiceEvery }: SweepTask): Generator<SweepResult> {
  let batch = empty();
  for (let i = 0; i < seeds; i++) {
    const outcome = runWorld({ seed: from + i * stride });
    const failure = failureOf(outcome, twiceEvery > 0 && i % twiceEvery === 0);
    batch = sum(batch, {
      seeds: 1,
      fuaOverlapsAndCrashes: outcome.fuaOverlapAndCrash ? 1 : 0,
      crashes: outcome.crashes,
      requests: outcome.requests,
      counts: outcome.counts,
      marks: markCounts((mark) => (outcome.marks.includes(mark) ? 1 : 0)),
      failure,
    });
    if (failure !== undefined || batch.seeds === BATCH_SEEDS || i === seeds - 1) {
      yield batch;
      batch = empty();
    }
    if (failure !== undefined) return;
  }
}

function failureOf(outcome: Outcome, twice: boolean): Failure | undefined {
  const { seed, violation } = outcome;
  if (violation !== undefined) {
    // The same world once more, this time with somebody taking notes.
    const { lines } = runWorld({ seed, recording: true });
    const where = violation.sector === undefined ? "" : ` (sector ${violation.sector})`;
    return { seed, message: `${violation.message}${where}`, lines };
  }
  if (!twice) return undefined;
  const again = runWorld({ seed });
  if (again.hash === outcome.hash) return undefined;
  return { seed, message: `not deterministic: trace ${outcome.hash}, then ${again.hash}`, lines: [] };
}

function empty(): SweepResult {
  return {
    seeds: 0,
    fuaOverlapsAndCrashes: 0,
    crashes: 0,
    requests: 0,
    counts: NO_COUNTS,
    marks: NO_MARKS,
    failure: undefined,
  };
}

function sum(a: SweepResult, b: SweepResult): SweepResult {
  return {
    seeds: a.seeds + b.seeds,
    fuaOverlapsAndCrashes: a.fuaOverlapsAndCrashes + b.fuaOverlapsAndCrashes,
    crashes: a.crashes + b.crashes,
    requests: a.requests + b.requests,
    counts: addCounts(a.counts, b.counts),
    marks: addMarks(a.marks, b.marks),
    failure: a.failure ?? b.failure,
  };
}
