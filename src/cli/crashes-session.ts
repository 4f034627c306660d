import { SkinkError } from "../block/errors.ts";
import { shellWord } from "../block/shell-word.ts";
import { Campaign, type CampaignOptions } from "../crashes/campaign.ts";
import type { Tearing } from "../crashes/draw.ts";
import { isMark } from "../crashes/history.ts";
import { writeImage } from "../crashes/image.ts";
import { interrupted } from "../crashes/interrupted.ts";
import { Laboratory } from "../crashes/laboratory.ts";
import { type Form, formNeeded } from "../crashes/needs.ts";
import { Plan, type PlannedState } from "../crashes/plan.ts";
import { crashPoints, type DiskManners, pointAt, type Span } from "../crashes/points.ts";
import { progressText } from "../crashes/progress-text.ts";
import type { RecordedDisk } from "../crashes/recorded-disk.ts";
import { failureReport, jsonReport, type ReportContext, textReport } from "../crashes/report.ts";
import { nameOf, parseName } from "../crashes/state-name.ts";
import { realClock } from "../front/clock.ts";
import { Progress } from "../terminal/progress.ts";

export const DEFAULT_TIMEOUT_SECONDS = 60;

export interface CrashesOptions {
  readonly check?: string;
  readonly base?: string;
  readonly size?: number;
  readonly from?: string;
  readonly to?: string;
  readonly states: number;
  readonly seed: number;
  readonly atomic?: number;
  readonly lyingFlushes?: true | number;
  readonly mountOptions?: string;
  readonly jobs: number;
  readonly timeout: number;
  readonly all?: true;
  readonly state?: string;
  readonly serve?: true | string;
  readonly write?: string;
  readonly json?: true;
}

/** One run of the command. */
export class CrashesSession {
  readonly #path: string;
  readonly #disk: RecordedDisk;
  readonly #options: CrashesOptions;
  readonly #signal: AbortSignal;
  readonly #manners: DiskManners;
  readonly #tearing: Tearing;

  constructor(path: string, disk: RecordedDisk, options: CrashesOptions, signal: AbortSignal) {
    this.#path = path;
    this.#disk = disk;
    this.#options = options;
    this.#signal = signal;
    const { lyingFlushes, atomic = disk.log.sectorSize } = options;
    this.#manners = { lying: lyingFlushes === true ? Number.POSITIVE_INFINITY : lyingFlushes };
    const atomicSectors = atomic / disk.log.sectorSize;
    if (atomicSectors !== Number.POSITIVE_INFINITY && !Number.isInteger(atomicSectors)) {
      throw badUsage(path, `--atomic is ${atomic}`, `a multiple of the log's sectors of ${disk.log.sectorSize} bytes`);
    }
    this.#tearing = { atomicSectors };
  }

  async run(): Promise<void> {
    const { state, serve, write, check } = this.#options;
    if (state === undefined) return await this.#checkAll(check as string);
    const planned = this.#named(state);
    if (write !== undefined) await writeImage(this.#disk, planned.state, write, this.#signal);
    else if (serve !== undefined) await this.#serve(planned, serve === true ? undefined : serve);
    else await this.#checkOne(planned, check as string);
  }

  async #checkAll(command: string): Promise<void> {
    const { log } = this.#disk;
    const { states, seed, json } = this.#options;
    const points = crashPoints(log, this.#manners, this.#span());
    if (points.length === 0) throw badUsage(this.#path, "there is no crash point between --from and --to", "one");
    const plan = new Plan(log, points, {
      tearing: this.#tearing,
      seed,
      limit: states,
      keyOf: (state, mark) => this.#disk.keyOf(state, mark),
    });
    const line = new Progress({ isOften: true, isForTerminals: true });
    const startedAt = performance.now();
    let seconds = 0;
    const result = await this.#inLaboratory(formNeeded(command), async (laboratory) => {
      const options = this.#campaignOptions(command, (progress) => {
        const now = (performance.now() - startedAt) / 1000;
        line.say(progressText(progress, now));
        if (progress.phase === "check") seconds = now;
      });
      return await new Campaign(laboratory, options).run(plan);
    }).finally(() => line.clear());
    const context = {
      ...this.#context(),
      points: points.length,
      planned: plan.total,
      exhaustive: plan.exhaustive,
      seconds,
    };
    console.log(json ? JSON.stringify(jsonReport(result, context), null, 2) : textReport(result, context));
    if (result.smallest !== undefined) process.exitCode = 1;
  }

  async #checkOne(planned: PlannedState, command: string): Promise<void> {
    const verdict = await this.#inLaboratory(formNeeded(command), (laboratory) =>
      new Campaign(
        laboratory,
        this.#campaignOptions(command, () => {}),
      ).check(planned),
    );
    if (verdict === undefined) throw interrupted();
    if (this.#options.json) {
      console.log(JSON.stringify(failureReport({ planned, verdict }, this.#context()), null, 2));
    } else {
      process.stdout.write(verdict.output);
      console.log(`${verdict.passed ? "passed" : "FAILED"}: state ${this.#nameOf(planned)}, ${verdict.how}`);
    }
    if (!verdict.passed) process.exitCode = 1;
  }

  #serve({ state }: PlannedState, path: string | undefined): Promise<void> {
    const serving = async (laboratory: Laboratory): Promise<void> =>
      await laboratory.with(state, async ({ uri }) => {
        console.log(`ready ${this.#options.state} ${uri}`);
        await new Promise<void>((resolve) => {
          if (this.#signal.aborted) resolve();
          else this.#signal.addEventListener("abort", () => resolve());
        });
      });
    return this.#inLaboratory("uri", serving, path);
  }

  async #inLaboratory<Result>(
    form: Form,
    use: (laboratory: Laboratory) => Promise<Result>,
    path?: string,
  ): Promise<Result> {
    const { mountOptions } = this.#options;
    const laboratory = await Laboratory.open({ disk: this.#disk, clock: realClock, form, mountOptions }, path);
    try {
      return await use(laboratory);
    } finally {
      await laboratory.close();
    }
  }

  #campaignOptions(command: string, onProgress: CampaignOptions["onProgress"]): CampaignOptions {
    const { timeout, jobs, all = false } = this.#options;
    return {
      disk: this.#disk,
      tearing: this.#tearing,
      command,
      timeoutMs: timeout * 1000,
      jobs,
      all,
      signal: this.#signal,
      nameOf: (planned) => this.#nameOf(planned),
      onProgress,
    };
  }

  #context(): Omit<ReportContext, "points" | "planned" | "exhaustive" | "seconds"> {
    return {
      history: this.#disk.log,
      seed: this.#options.seed,
      lying: this.#manners.lying !== undefined,
      nameOf: (planned) => this.#nameOf(planned),
      again: (name, more) => this.#commandLine(name, more),
    };
  }

  #nameOf({ point, state }: PlannedState): string {
    return nameOf(this.#disk.log, point.volatile, state);
  }

  #named(name: string): PlannedState {
    const { log } = this.#disk;
    const state = parseName(log, this.#manners, name);
    return { point: pointAt(log, this.#manners, state.end), state };
  }

  /** `more`: "--check" stands for it with its command. */
  #commandLine(name: string, more: string): string {
    const { base, size: bytes, lyingFlushes, mountOptions, timeout, check } = this.#options;
    const forCheck = more === "--check";
    return [
      `skink crashes ${shellWord(this.#path)}`,
      ...(base === undefined ? [] : [`--base ${shellWord(base)}`]),
      ...(bytes === undefined ? [] : [`--size ${bytes}`]),
      ...(lyingFlushes === undefined ? [] : [`--lying-flushes${lyingFlushes === true ? "" : ` ${lyingFlushes}`}`]),
      `--state ${shellWord(name)}`,
      ...(forCheck && mountOptions !== undefined ? [`--mount-options ${shellWord(mountOptions)}`] : []),
      ...(forCheck && timeout !== DEFAULT_TIMEOUT_SECONDS ? [`--timeout ${timeout}`] : []),
      forCheck ? `--check ${shellWord(check ?? "")}` : more,
    ].join(" ");
  }

  #span(): Span {
    const { entries } = this.#disk.log;
    const { from, to } = this.#options;
    const marks = entries.filter(isMark);
    const places = [
      from === undefined ? undefined : marks.find(({ mark }) => mark === from),
      to === undefined ? undefined : marks.findLast(({ mark }) => mark === to),
    ];
    for (const [number, wanted] of [from, to].entries()) {
      if (wanted === undefined || places[number] !== undefined) continue;
      const known = marks.length === 0 ? "it has none" : `such as ${JSON.stringify(marks[0]?.mark)}`;
      const what = `it has no mark ${JSON.stringify(wanted)}, one of its marks was wanted (${known})`;
      throw new SkinkError("bad-usage", `Cannot check ${this.#path}: ${what}`);
    }
    return { from: (places[0]?.index ?? -1) + 1, to: places[1]?.index ?? entries.length };
  }
}

export function badUsage(path: string, what: string, wanted: string): SkinkError {
  return new SkinkError("bad-usage", `Cannot check ${path}: ${what}, ${wanted} was wanted`);
}
