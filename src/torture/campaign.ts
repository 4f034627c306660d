import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { SkinkError } from "../block/errors.ts";
import { parseSpec } from "../front/spec.ts";
import { Guardian } from "../link/guardian.ts";
import { newMark } from "../link/process-mark.ts";
import { drawTrial, type Menu, tiersOf } from "./draw.ts";
import { menuOf } from "./menu.ts";
import type { Campaign, CampaignOptions, TrialResult } from "./plan.ts";
import { isBare } from "./prepare.ts";
import { versionsOf } from "./versions.ts";
import { type Story, WorkerProcess } from "./worker-process.ts";

export interface CampaignOrder extends CampaignOptions {
  /** It ends with whichever comes first. Without either there is no end but the signal's. */
  readonly trials?: number | undefined;
  readonly seconds?: number | undefined;
  /** That one trial and no other. */
  readonly only?: number | undefined;
  /** Trials at a time; as many as there are cores if left out. */
  readonly jobs?: number | undefined;
}

export interface CampaignObserver {
  /** A trial is over. They end in no particular order. */
  trial(result: TrialResult): void;
  /** Something happened in a trial: for who watches a single one. */
  story?: Story;
}

/**
 * Makes trials until the order says that it is enough, or `signal`; then the trials that go on are not counted. They run in processes of
 * their own, which are gone when this settles, and soon after this process where it dies first. Rejects with `bad-spec`, `bad-target` or
 * `bad-usage` where there is nothing to be tried, and as a front does that can't start.
 */
export async function runCampaign(
  order: CampaignOrder,
  observer: CampaignObserver,
  signal: AbortSignal = new AbortController().signal,
): Promise<Campaign> {
  const { trials: count, seconds, only, jobs = availableParallelism(), ...options } = order;
  const startedAt = new Date();
  const begun = performance.now();
  const elapsed = (): number => (performance.now() - begun) / 1000;
  const folder = mkdtempSync(join(tmpdir(), "skink-torture-"));
  const mark = newMark([]);
  const guardian = new Guardian(mark, folder);
  const size = Math.min(jobs, only === undefined ? (count ?? jobs) : 1);
  const workers = Array.from({ length: size }, (_, i) => new WorkerProcess(join(folder, `${i}`), mark));
  const trials: TrialResult[] = [];
  const aborted = Promise.withResolvers<void>();
  const abort = (): void => aborted.resolve();
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    const menu = menuFor(options, folder);
    let next = only ?? 0;
    const end = only === undefined ? (count ?? Number.POSITIVE_INFINITY) : only + 1;
    const isOver = (): boolean => signal.aborted || next >= end || (seconds !== undefined && elapsed() >= seconds);
    const work = async (worker: WorkerProcess): Promise<void> => {
      while (!isOver()) {
        const plan = drawTrial(options, menu, next++);
        const result = await worker.trial(plan, options, observer.story ?? (() => {}));
        if (signal.aborted) return;
        trials.push(result);
        observer.trial(result);
      }
    };
    const all = async (): Promise<void> => {
      const [first] = workers as [WorkerProcess];
      await first.probe(options);
      await Promise.all(workers.map(work));
    };
    await Promise.race([all(), aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
    await Promise.all(workers.map((worker) => worker.end()));
    guardian.dismiss();
    rmSync(folder, { recursive: true, force: true });
  }
  trials.sort((one, other) => one.plan.index - other.plan.index);
  return {
    format: "skink-torture-1",
    versions: versionsOf(parseSpec(options.spec), options),
    options,
    startedAt: startedAt.toISOString(),
    seconds: elapsed(),
    trials,
  };
}

function menuFor(options: CampaignOptions, folder: string): Menu {
  const spec = parseSpec(options.spec);
  const menu = menuOf(spec, options.tiers, isBare(spec, options), folder);
  const wanted = [...new Set(options.tiers)];
  const missing = wanted.filter((tier) => !tiersOf(options, menu).includes(tier));
  if (missing.length < wanted.length) return menu;
  const what = `there is no ${missing.join(" or ")} fault that it could be given`;
  throw new SkinkError("bad-usage", `Cannot torture ${options.spec}: ${what}, another tier was wanted`);
}
