import { randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { SkinkError } from "../block/errors.ts";
import { onInterruption } from "../terminal/interruption.ts";
import { Progress } from "../terminal/progress.ts";
import { type CampaignOrder, runCampaign } from "../torture/campaign.ts";
import {
  type Campaign,
  OUTCOMES,
  type Persistence,
  type Recovery,
  type Tier,
  type TrialResult,
} from "../torture/plan.ts";
import { htmlReport } from "../torture/report/html.ts";
import { jsonReport } from "../torture/report/json.ts";
import { isBad } from "../torture/report/summary.ts";
import { textReport } from "../torture/report/text.ts";
import { positiveNumber, wholeNumber } from "./numbers.ts";

const TIERS: readonly Tier[] = ["code", "wire", "process"];
const RECOVERIES: readonly Recovery[] = ["client", "nbdkit-retry", "qemu-reconnect"];
const DEFAULT_TRIALS = 200;
const DEFAULT_LOAD_MS = 150;

const HELP = `
A fault is one of three tiers:
  code       the driver's source is changed: an inverted condition, a dropped await, a kept buffer, … (modules only)
  wire       what passes between driver and front: wrong tags, short, twice, late, corrupt, misdirected, lost, torn
  process    SIGKILL, of one driver or of several devices' at once, SIGSTOP for a while, an endless loop, memory without end,
             exit, an unhandled rejection
A transient fault is gone with the incarnation of the driver that it has struck, a persistent one is in each of them.

Each trial has a store of its own, all zeroes, and ends with one more kill and a full read-back. For memory: that is so by
nature, for file: a sparse file takes the place of yours, which isn't touched. In the values and commands of all others,
{dir} is an empty folder made for the trial, and {disk} a file of 8 MiB of zeroes in it:
  skink torture 'exec:nbdkit -f -U {socket} file {disk}'
  skink torture './my-driver.ts?path={disk}'

A trial ends as one of
  no effect         the fault was never reached, or changed nothing that anybody could see
  masked            it struck, no restart was needed, clients saw nothing
  recovered         the driver was restarted, clients saw nothing but a delay
  failed honestly   requests got errors, and everything else is right
  hang              an answer, or the end, never came
  silent            a read was answered with what it should not have been
Nothing checks a driver's answers unless --verify digests is given: one that lies may be silent without it. With it, each
trial begins by writing all that its load will use once: of a sector that the front has never seen it knows nothing.

The same options and seed give the same faults and loads; --only N makes one trial again, and tells its story. When things
happen is the machine's affair, so that a rare failure may take some tries.
Exit codes: 0 nothing silent, no hang, and no incident, which is a fault of Skink itself; 1 there was; 2 bad usage.`;

interface TortureOptions {
  readonly target?: string;
  readonly trials?: number;
  readonly seconds?: number;
  readonly seed?: number;
  readonly only?: number;
  readonly tier: readonly Tier[];
  readonly persistence?: Persistence;
  readonly verify?: "digests";
  readonly shadow: boolean;
  readonly recovery?: Recovery;
  readonly jobs?: number;
  readonly loadMs: number;
  readonly report?: string;
  readonly json?: string | true;
}

export function addTorture(program: Command): void {
  program
    .command("torture")
    .summary("break a driver in many ways, and see what its clients lose")
    .description(
      "Breaks a driver, or an NBD server, on purpose, again and again, each time under a load that knows what every sector may " +
        "hold. Tells what came of it: how often clients noticed nothing, got errors, or were told something wrong.",
    )
    .argument("[spec]", "a device spec")
    .option("--target <spec>", "the same")
    .option("--trials <number>", `how many (default: ${DEFAULT_TRIALS}, or what fits into --seconds)`, wholeNumber(1))
    .option("--seconds <number>", "for how long", positiveNumber)
    .option("--seed <number>", "what decides all choices (default: another each time)", wholeNumber(0))
    .option("--only <number>", "this one trial of the campaign, with its story", wholeNumber(0))
    .addOption(new Option("--tier <tiers>", "some of code,wire,process").argParser(tiers).default(TIERS, "all of them"))
    .addOption(
      new Option("--persistence <kind>", "only such faults (default: half of them each)").choices([
        "transient",
        "persistent",
      ]),
    )
    .addOption(
      new Option("--verify <how>", "check what the driver returns by digests of its blocks").choices(["digests"]),
    )
    .option(
      "--no-shadow",
      "without what Skink is for: an exec: server stands alone, a module behind a front that retains nothing",
    )
    .addOption(new Option("--recovery <by>", "with --no-shadow: who reconnects to a server").choices(RECOVERIES))
    .option("--jobs <number>", "trials at a time (default: as many as there are cores)", wholeNumber(1))
    .option("--load-ms <number>", "how long the load of a trial lasts", wholeNumber(1), DEFAULT_LOAD_MS)
    .option("--report <file>", "write the report with pictures, one HTML file")
    .option(
      "--json [file]",
      "write the report for machines, with each trial: docs/torture.md (default: to stdout, in place of the text)",
    )
    .addHelpText("after", HELP)
    .action(torture);
}

async function torture(spec: string | undefined, options: TortureOptions): Promise<void> {
  const order = orderOf(spec, options);
  // Known now rather than after hours of trials.
  for (const path of [options.report, options.json]) if (typeof path === "string") write(path, "", { flag: "a" });
  // Who wants JSON on stdout wants nothing else there.
  const say = options.json === true ? console.error : console.log;
  const story = (atMs: number, text: string): void => say(`${atMs.toFixed(0).padStart(8)} ms  ${text}`);
  const progress = new Progress({ isOften: true, isForTerminals: true });
  const tally = new Tally(order);
  const trial = (result: TrialResult): void => progress.say(tally.add(result));
  const observer = order.only === undefined ? { trial } : { trial: () => {}, story };
  await onInterruption(async (signal) => {
    const campaign = await runCampaign(order, observer, signal).finally(() => progress.clear());
    report(campaign, order, options);
    process.exitCode = campaign.trials.some(isBad) || signal.aborted ? 1 : 0;
  });
}

function orderOf(argument: string | undefined, options: TortureOptions): CampaignOrder {
  const { target, trials, seconds, only, shadow, recovery, verify, jobs, loadMs } = options;
  const spec = argument ?? target;
  if (spec === undefined || (argument !== undefined && target !== undefined)) {
    const is = spec === undefined ? "it isn't said what" : "there are two specs";
    throw new SkinkError("bad-usage", `Cannot torture: ${is}, one device spec was wanted`);
  }
  if (recovery !== undefined && (shadow || !spec.startsWith("exec:"))) {
    throw new SkinkError("bad-usage", "Cannot use --recovery: it is for exec: servers with --no-shadow");
  }
  if (only !== undefined && options.seed === undefined) {
    throw new SkinkError("bad-usage", "Cannot use --only: it isn't said of which campaign, --seed was wanted");
  }
  const alone = !shadow && spec.startsWith("exec:");
  if (alone && verify !== undefined) {
    throw new SkinkError("bad-usage", "Cannot verify a server that stands alone: --verify is for devices of Skink");
  }
  const isOpen = trials === undefined && seconds === undefined;
  return {
    spec,
    seed: options.seed ?? randomInt(2 ** 31),
    tiers: options.tier,
    persistence: options.persistence,
    verify: verify ?? "none",
    shadow,
    recovery: alone ? (recovery ?? "client") : undefined,
    loadMs,
    trials: isOpen ? DEFAULT_TRIALS : trials,
    seconds,
    only,
    jobs,
  };
}

function report(campaign: Campaign, { only }: CampaignOrder, { json, report }: TortureOptions): void {
  const [first] = campaign.trials;
  if (only !== undefined && first !== undefined && json !== true) console.log(`\n${JSON.stringify(first, null, 2)}\n`);
  if (json === true) process.stdout.write(`${jsonReport(campaign)}\n`);
  else console.log(textReport(campaign));
  if (typeof json === "string") write(json, `${jsonReport(campaign)}\n`);
  if (report !== undefined) write(report, htmlReport(campaign));
}

function write(path: string, text: string, options: { flag?: "a" } = {}): void {
  try {
    writeFileSync(path, text, options);
  } catch (error) {
    throw new SkinkError("not-written", `Cannot write the report: ${(error as Error).message}, a file was wanted`);
  }
}

/** How far it is, and how the trials have ended, in a line. */
class Tally {
  readonly #order: CampaignOrder;
  readonly #counts = new Map<string, number>();
  readonly #begun = performance.now();
  #trials = 0;

  constructor(order: CampaignOrder) {
    this.#order = order;
  }

  add({ outcome, incident }: TrialResult): string {
    this.#trials++;
    for (const name of incident === undefined ? [outcome] : [outcome, "incident"]) {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    }
    const seconds = (performance.now() - this.#begun) / 1000;
    const { trials } = this.#order;
    const done = trials === undefined ? `${this.#trials}` : `${this.#trials}/${trials}`;
    const left = trials === undefined ? this.#order.seconds : ((trials - this.#trials) * seconds) / this.#trials;
    const outcomes = [...OUTCOMES, "incident"].flatMap((name) => {
      const count = this.#counts.get(name);
      return count === undefined ? [] : [`${count} ${name}`];
    });
    const rate = `${(this.#trials / seconds).toFixed(1)}/s`;
    return [`${done} trials`, rate, `${Math.round(left ?? 0)} s left`, ...outcomes].join("  ");
  }
}

function tiers(text: string): Tier[] {
  const names = text.split(",");
  const known = (name: string): name is Tier => (TIERS as readonly string[]).includes(name);
  if (names.every(known)) return names;
  throw new InvalidArgumentError(`Some of ${TIERS.join(",")} were wanted.`);
}
