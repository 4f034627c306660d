import { closeSync, fstatSync, openSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { SkinkError } from "../block/errors.ts";
import { shellWord } from "../block/shell-word.ts";
import { parseSize } from "../block/size.ts";
import { Campaign, type CampaignOptions } from "../crashes/campaign.ts";
import type { Tearing } from "../crashes/draw.ts";
import { isMark } from "../crashes/history.ts";
import { writeImage } from "../crashes/image.ts";
import { interrupted } from "../crashes/interrupted.ts";
import { Laboratory } from "../crashes/laboratory.ts";
import { type Form, formNeeded } from "../crashes/needs.ts";
import { Plan, type PlannedState } from "../crashes/plan.ts";
import { crashPoints, type DiskManners, pointAt, type Span } from "../crashes/points.ts";
import { ProgressLine } from "../crashes/progress-line.ts";
import { RecordedDisk } from "../crashes/recorded-disk.ts";
import { failureReport, jsonReport, type ReportContext, textReport } from "../crashes/report.ts";
import { nameOf, parseName } from "../crashes/state-name.ts";
import { realClock } from "../front/clock.ts";
import { blockDeviceSize } from "../os/block-device.ts";
import { LogWritesReader } from "../record/log-reader.ts";
import { isFailedMark } from "../record/own-marks.ts";

interface CrashesOptions {
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

const DEFAULT_STATES = 1000;
const DEFAULT_TIMEOUT_SECONDS = 60;
const MAX_STATES = 1e9;
const MAX_JOBS = 256;
const MAX_TIMEOUT_SECONDS = 86_400;
const INTERRUPTIONS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function addCrashes(program: Command): void {
  program
    .command("crashes")
    .summary("check what a power cut may leave of a recorded disk")
    .description(
      "Makes the states in which a power cut may leave a disk whose writes were recorded, and runs a check on each: on what file " +
        "system, database or program ever wrote them. Tells the smallest state that fails, and how to see it again.",
    )
    .argument("<log>", "what was written: of skink record, or of the kernel's dm-log-writes")
    .option("--check <command>", "for the shell; ends with 0 where a state is good")
    .option("--base <image>", "what the disk held before; zeroes if left out")
    .option("--size <size>", "of the disk, where the log doesn't tell", size)
    .option("--from <mark>", "cut the power after this mark only")
    .option("--to <mark>", "… before this mark only")
    .option("--states <number>", "how many states at most", count(1, MAX_STATES), DEFAULT_STATES)
    .option("--seed <number>", "draws them where there are more", count(0, Number.MAX_SAFE_INTEGER), 1)
    .option(
      "--atomic <size>",
      "what the disk writes whole, such as 4K, or all: no write is torn (default: a sector)",
      atomic,
    )
    .option(
      "--lying-flushes [number]",
      "the disk swallows flushes: all, or that many of the newest writes may be lost",
      count(1),
    )
    .option("--mount-options <options>", "for {mount}, as mount -o takes them")
    .option(
      "--jobs <number>",
      "checks at a time (default: one for each core)",
      count(1, MAX_JOBS),
      availableParallelism(),
    )
    .option("--timeout <seconds>", "for one check", count(1, MAX_TIMEOUT_SECONDS), DEFAULT_TIMEOUT_SECONDS)
    .option("--all", "go on after a state has failed")
    .option("--state <name>", "this state alone, as a report names it")
    .addOption(new Option("--serve [socket]", "with --state: serve it as an NBD disk until ^C").conflicts("check"))
    .addOption(
      new Option("--write <file>", "with --state: write it into a new image file").conflicts(["check", "serve"]),
    )
    .option("--json", "the report as an object, for machines: docs/crashes.md")
    .addHelpText("after", HELP)
    .action(crashes);
}

const HELP = `
In the command, and in its environment under the name on the right, stand for the state that it is to check:
  {uri}      an NBD export                                  SKINK_URI
  {device}   a file, by nbdfuse                             SKINK_DEVICE
  {loop}     a loop device over it, as root                 SKINK_LOOP
  {mount}    a folder where that is mounted, as root        SKINK_MOUNT
SKINK_STATE is its name, SKINK_MARK the last mark that was set before the power cut. The check may write: each state is a copy of its own.

Examples:
  skink crashes disk.log --check 'e2fsck -y -E journal_only {device} >/dev/null; e2fsck -fn {device}'
  skink crashes disk.log --from 'ready' --check 'sqlite3 {mount}/my.db "pragma integrity_check" | grep -qx ok'
  skink crashes disk.log --base before.img --check './compare.sh {mount} "$SKINK_MARK"' --states 10000 --all
  skink crashes disk.log --state 107-98 --serve

Exit codes: 0 all states pass, 1 a state fails, or something else does, 2 bad usage, also a check that can't be run.`;

async function crashes(path: string, options: CrashesOptions): Promise<void> {
  needSense(path, options);
  const log = LogWritesReader.open(path);
  if (log.cutOff !== undefined) process.stderr.write(`${path}: ${log.cutOff}\n`);
  const failed = log.entries.filter(({ mark }) => mark !== undefined && isFailedMark(mark)).length;
  if (failed > 0) process.stderr.write(`${path}: ${failed} writes failed; what they may have left is in no state\n`);
  let base: number | undefined;
  try {
    base = options.base === undefined ? undefined : openBase(options.base);
    const disk = new RecordedDisk(log, sizeOf(path, log, base, options.size), base);
    await onInterruption((signal) => new Session(path, disk, options, signal).run());
  } finally {
    if (base !== undefined) closeSync(base);
    log.close();
  }
}

/** One run of the command. */
class Session {
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
      const what = `--atomic is ${atomic}, a multiple of the log's sectors of ${disk.log.sectorSize} bytes`;
      throw new SkinkError("bad-usage", `Cannot check ${path}: ${what} was wanted`);
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
    const line = new ProgressLine(process.stderr);
    const startedAt = performance.now();
    let seconds = 0;
    const result = await this.#inLaboratory(formNeeded(command), async (laboratory) => {
      const options = this.#campaignOptions(command, (progress) => {
        line.show(progress);
        if (progress.phase === "check") seconds = (performance.now() - startedAt) / 1000;
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

function needSense(path: string, { check, state, serve, write }: CrashesOptions): void {
  const others = serve !== undefined || write !== undefined;
  if (others && state === undefined) throw badUsage(path, "there is no --state beside --serve or --write", "one");
  if (!others && check === undefined) throw badUsage(path, "there is no --check", "a command");
}

function openBase(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new SkinkError("bad-usage", `Cannot read the base ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Bytes: what is asked for, what the log says, or what it takes at least. */
function sizeOf(path: string, log: LogWritesReader, base: number | undefined, wanted: number | undefined): number {
  const end = log.entries.reduce((most, { offset, length }) => Math.max(most, offset + length), 0);
  const stat = base === undefined ? undefined : fstatSync(base);
  const baseBytes = stat?.isBlockDevice() ? blockDeviceSize(base as number) : (stat?.size ?? 0);
  const bytes = wanted ?? log.deviceBytes ?? Math.max(end, baseBytes);
  if (bytes < end) throw badUsage(path, `it writes up to byte ${end} of a disk of ${bytes}`, "a size not below it");
  return Math.floor(bytes / log.sectorSize) * log.sectorSize;
}

/** Runs it with a signal for the first interruption; a second one doesn't wait any more. */
async function onInterruption(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort();
  };
  for (const signal of INTERRUPTIONS) process.on(signal, interrupt);
  try {
    await run(controller.signal);
  } finally {
    for (const signal of INTERRUPTIONS) process.off(signal, interrupt);
  }
}

function count(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`A number from ${least} to ${most} was wanted.`);
  };
}

function size(text: string): number {
  try {
    return parseSize(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function atomic(text: string): number {
  const bytes = text === "all" ? Number.POSITIVE_INFINITY : size(text);
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError("More than nothing was wanted.");
}

function badUsage(path: string, what: string, wanted: string): SkinkError {
  return new SkinkError("bad-usage", `Cannot check ${path}: ${what}, ${wanted} was wanted`);
}
