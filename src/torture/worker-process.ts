import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SkinkError } from "../block/errors.ts";
import { killFamily } from "../link/process-family.ts";
import { familyMark, MARK, newMark } from "../link/process-mark.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import type { CampaignOptions, TrialPlan, TrialResult } from "./plan.ts";
import { STEP_MS } from "./trial.ts";

const WORKER = fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));
/** A worker that has said nothing for so long hangs itself: it bounds each step of a trial. */
const SILENCE_MS = STEP_MS + 30_000;
/** What it says on its way out, at most. */
const LAST_WORDS_CHARS = 2000;

/** A line of a trial's story: milliseconds since it began. */
export type Story = (atMs: number, text: string) => void;

/** A process for trials, one after another; if it ends or hangs, so does the trial, and another one takes its place for the next. */
export class WorkerProcess {
  readonly #folder: string;
  readonly #campaignMark: string;
  #serial = 0;
  #child: ChildProcess | undefined;
  #mark = "";
  #lastWords = "";
  /** Whoever waits for an answer is told that none will come. */
  #giveUp: ((how: string) => void) | undefined;

  /** `folder` exists, for all that is temporary; `campaignMark`: in the environment of all that comes of the campaign. */
  constructor(folder: string, campaignMark: string) {
    this.#folder = folder;
    this.#campaignMark = campaignMark;
  }

  /** Never rejects: the death of the worker is a finding, too. */
  async trial(plan: TrialPlan, options: CampaignOptions, story: Story): Promise<TrialResult> {
    const begun = performance.now();
    const answer = await this.#order((folder) => ({ type: "trial", plan, options, folder }), story);
    if (answer.type === "result") return answer.result;
    const incident =
      answer.type === "ended" ? answer.how : answer.type === "unfit" ? answer.message : "it made no sense";
    return lost(plan, incident, performance.now() - begun);
  }

  /** Rejects with a SkinkError where trials can't be made. */
  async probe(options: CampaignOptions): Promise<void> {
    const answer = await this.#order(
      (folder) => ({ type: "probe", options, folder }),
      () => {},
    );
    if (answer.type === "fit") return;
    if (answer.type === "unfit") throw new SkinkError(answer.code, answer.message);
    const how = answer.type === "ended" ? answer.how : "it made no sense";
    throw new SkinkError("bad-target", `Cannot torture ${options.spec}: ${how}, a device that serves was wanted`);
  }

  /** Kills it with all that came of it. */
  async end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined) return;
    child.removeAllListeners();
    this.#giveUp?.("it was ended");
    child.kill("SIGKILL");
    await killFamily(child.pid, this.#mark);
  }

  async #order(make: (folder: string) => ToWorker, story: Story): Promise<FromWorker | { type: "ended"; how: string }> {
    const folder = join(this.#folder, `${++this.#serial}`);
    mkdirSync(folder, { recursive: true });
    this.#child ??= this.#start();
    const child = this.#child;
    let silence: NodeJS.Timeout | undefined;
    const answer = await new Promise<FromWorker | { type: "ended"; how: string }>((resolve) => {
      const ended = (how: string): void => resolve({ type: "ended", how });
      this.#giveUp = ended;
      const listen = (): void => {
        clearTimeout(silence);
        silence = setTimeout(() => ended(`the worker said nothing for ${SILENCE_MS} ms`), SILENCE_MS);
      };
      child.on("message", (message: FromWorker) => {
        listen();
        if (message.type === "line") story(message.atMs, message.text);
        else resolve(message);
      });
      child.on("close", (code, signal) => ended(`the worker ended with ${code ?? signal}: ${this.#lastWords.trim()}`));
      child.on("error", (error) => ended(`the worker could not be reached: ${error.message}`));
      listen();
      child.send(make(folder), (error) => error !== null && ended(`the worker took no order: ${error.message}`));
    });
    clearTimeout(silence);
    this.#giveUp = undefined;
    child.removeAllListeners();
    const isSpent = answer.type === "ended" || (answer.type === "result" && answer.result.incident !== undefined);
    if (isSpent) await this.end();
    rmSync(folder, { recursive: true, force: true });
    return answer;
  }

  #start(): ChildProcess {
    this.#mark = newMark([]);
    this.#lastWords = "";
    const child = fork(WORKER, [], {
      // A signal from the terminal is the campaign's to answer.
      detached: true,
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: { ...process.env, TMPDIR: this.#folder, [MARK]: familyMark(`${this.#campaignMark}/${this.#mark}`) },
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = `${this.#lastWords}${text}`.slice(-LAST_WORDS_CHARS);
    });
    return child;
  }
}

/** Of a trial that came to no end of its own. */
function lost(plan: TrialPlan, incident: string, totalMs: number): TrialResult {
  return {
    plan,
    outcome: "hang",
    struck: false,
    struckMs: undefined,
    struckRequests: undefined,
    detections: [],
    restarts: 0,
    state: "unknown",
    requests: 0,
    errors: 0,
    firstError: undefined,
    wrong: 0,
    flushLies: 0,
    firstWrong: undefined,
    stallMs: 0,
    loadMs: 0,
    totalMs,
    driverCpuMs: undefined,
    frontCpuMs: undefined,
    incident: incident.replaceAll(/\s+/g, " "),
  };
}
