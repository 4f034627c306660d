import { MountFailure, type Places } from "./attachment.ts";
import { runCheck, type Verdict } from "./check.ts";
import type { Tearing } from "./draw.ts";
import { interrupted } from "./interrupted.ts";
import type { Laboratory } from "./laboratory.ts";
import { type Minimised, minimise } from "./minimise.ts";
import type { Plan, PlannedState } from "./plan.ts";
import type { CrashPoint } from "./points.ts";
import type { RecordedDisk } from "./recorded-disk.ts";
import type { CrashState } from "./state.ts";

export interface CampaignOptions {
  readonly disk: RecordedDisk;
  readonly tearing: Tearing;
  readonly command: string;
  readonly timeoutMs: number;
  /** Checks that run at a time. */
  readonly jobs: number;
  /** Go on after a state has failed. */
  readonly all: boolean;
  /** Ends everything; what was running counts for nothing. */
  readonly signal: AbortSignal;
  readonly nameOf: (planned: PlannedState) => string;
  readonly onProgress: (progress: Progress) => void;
}

export interface Progress {
  /** "check": the plan is gone through; "search": for the smallest state that fails. */
  readonly phase: "check" | "search";
  readonly checked: number;
  /** Of this phase; `undefined` where nobody knows. */
  readonly total: number | undefined;
  readonly failures: number;
}

export interface Failure {
  readonly planned: PlannedState;
  readonly verdict: Verdict;
}

/** A failure as it is kept where there may be thousands. */
export interface BriefFailure {
  readonly name: string;
  readonly point: CrashPoint;
  /** Its output is the end of it. */
  readonly verdict: Verdict;
}

export interface CampaignResult {
  /** States of the plan that were checked. */
  readonly checked: number;
  /** In the order of the plan. */
  readonly failures: readonly BriefFailure[];
  /** Of the first failure; and whether nothing more can be put back. */
  readonly smallest: (Failure & Pick<Minimised, "isMinimal">) | undefined;
}

/** Of what the check of a failing state says, so many characters are kept: the smallest one's has more. */
const MAX_BRIEF_OUTPUT = 1000;

/** Checks the states of a plan, some at a time, and looks for the smallest one that fails. */
export class Campaign {
  readonly #laboratory: Laboratory;
  readonly #options: CampaignOptions;
  /** Ends the checks that run when one has failed. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;

  constructor(laboratory: Laboratory, options: CampaignOptions) {
    this.#laboratory = laboratory;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
  }

  /** Rejects with `bad-check` where the check can't be run, with `interrupted` where it was told to end. */
  async run(plan: Plan): Promise<CampaignResult> {
    const failures = new Map<number, BriefFailure>();
    let first: (Failure & { readonly number: number }) | undefined;
    let checked = 0;
    const tell = (): void => {
      this.#options.onProgress({ phase: "check", checked, total: plan.total, failures: failures.size });
    };
    const states = plan[Symbol.iterator]();
    let number = 0;
    const work = async (): Promise<void> => {
      for (;;) {
        if (this.#signal.aborted) return;
        const { value: planned, done } = states.next();
        if (done) return;
        const own = number++;
        const verdict = await this.check(planned, this.#signal);
        if (verdict === undefined) return;
        checked++;
        if (!verdict.passed) {
          const brief = { ...verdict, output: verdict.output.slice(-MAX_BRIEF_OUTPUT) };
          failures.set(own, { name: this.#options.nameOf(planned), point: planned.point, verdict: brief });
          if (first === undefined || own < first.number) first = { number: own, planned, verdict };
          if (!this.#options.all) this.#stop.abort();
        }
        tell();
      }
    };
    tell();
    const soFar = (): string => `${checked} of ${plan.total} states checked, ${failures.size} failed`;
    await this.#together(Array.from({ length: this.#options.jobs }, work), soFar);
    const inOrder = [...failures].sort(([a], [b]) => a - b).map(([, failure]) => failure);
    return { checked, failures: inOrder, smallest: first && (await this.#smallest(first, failures.size)) };
  }

  /** `undefined` where it was told to end meanwhile. */
  async check(planned: PlannedState, signal = this.#options.signal): Promise<Verdict | undefined> {
    const { command, timeoutMs, nameOf } = this.#options;
    const { point, state } = planned;
    const facts = { SKINK_STATE: nameOf(planned), SKINK_MARK: point.mark ?? "" };
    const check = (places: Places, env: NodeJS.ProcessEnv): Promise<Verdict> =>
      runCheck({ command, timeoutMs, env: { ...env, ...facts }, signal }, places);
    let verdict: Verdict;
    try {
      verdict = await this.#laboratory.with(state, check);
    } catch (error) {
      if (!(error instanceof MountFailure)) throw error;
      verdict = { passed: false, how: "it can't be mounted", output: error.message };
    }
    return signal.aborted ? undefined : verdict;
  }

  async #smallest(failure: Failure, failures: number): Promise<CampaignResult["smallest"]> {
    const { disk, tearing, jobs, onProgress } = this.#options;
    const { point } = failure.planned;
    const verdicts = new Map<string, Verdict>();
    let checked = 0;
    const keyOf = (state: CrashState): string => disk.keyOf(state, point.mark);
    verdicts.set(keyOf(failure.planned.state), failure.verdict);
    const fails = async (state: CrashState): Promise<boolean> => {
      const key = keyOf(state);
      const verdict = verdicts.get(key) ?? (await this.check({ point, state }));
      if (verdict === undefined)
        throw interrupted(`state ${this.#options.nameOf(failure.planned)} fails, the smallest one was looked for`);
      verdicts.set(key, verdict);
      checked++;
      onProgress({ phase: "search", checked, total: undefined, failures });
      return !verdict.passed;
    };
    const { state, isMinimal } = await minimise(failure.planned.state, tearing, fails, jobs);
    const verdict = verdicts.get(keyOf(state)) ?? failure.verdict;
    return { planned: { point, state }, verdict, isMinimal };
  }

  /** Waits for all of them, also where one fails: each takes down what it has set up. */
  async #together(workers: readonly Promise<void>[], soFar: () => string): Promise<void> {
    for (const worker of workers) worker.catch(() => this.#stop.abort());
    const outcomes = await Promise.allSettled(workers);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (this.#options.signal.aborted) throw interrupted(soFar());
    if (failed !== undefined) throw failed.reason;
  }
}
