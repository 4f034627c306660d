import { setTimeout as delay } from "node:timers/promises";
import { SeededRandom } from "../block/random.ts";
import type { LoadTally } from "../load/load.ts";
import type { NbdClient } from "../nbd/client/client.ts";
import { connectLoad, Loads } from "./loads.ts";
import type { CampaignOptions, Detection, TrialPlan, TrialResult } from "./plan.ts";
import type { Findings, Stand } from "./stand.ts";
import { StrikeWatch, timeOf } from "./strike-watch.ts";
import { Striker } from "./striker.ts";
import { isSeizure } from "./tamper/seizures.ts";
import { verdict } from "./verdict.ts";
import { waitFor, within } from "./wait.ts";

/** Nothing has been answered for so long: more than a request may have to wait by the policy, three times. */
const SILENCE_MS = 60_000;
/** No step of a trial takes longer, whatever is answered. */
export const STEP_MS = 180_000;
/** For a process to be missed that has been killed. */
const DEATH_MS = 10_000;
const LOOK_MS = 250;
/** For the driver to come to rest while its fault goes on. */
const PERSISTENT_SETTLE_MS = 5000;
/** The load goes on for so long at most, until a fault has struck, or one of the process has had its effect. */
const LINGER_MS = 5000;

/** A trial's device, before it runs. */
export interface PreparedStand extends Stand {
  start(): Promise<void>;
}

/** What has struck so far of a fault that is carried out within the driver: see tamper/. */
export interface StrikeMark {
  readonly struck: boolean;
  readonly timesMs: readonly number[];
}

export interface TrialParts {
  readonly plan: TrialPlan;
  readonly options: Pick<CampaignOptions, "loadMs" | "verify">;
  readonly stand: PreparedStand;
  /** Of faults that are not the engine's own. */
  readonly mark: () => StrikeMark;
  /** Whether what has been flushed outlives the process of the driver, so that a kill in the end brings to light what was not stored. */
  readonly outlives: boolean;
  /** Of a target that runs overlapping requests at the same time: see HistoryOptions. */
  readonly mayMix?: boolean;
  /** Nothing has been answered for so long, and that is a hang: SILENCE_MS if left out. */
  readonly silenceMs?: number;
  /** The load waits no longer for the fault: LINGER_MS if left out. */
  readonly lingerMs?: number;
  /** Takes a line for the story of the trial. */
  tell(line: string): void;
}

/** A step took longer than anything may. */
class Hung extends Error {}

/**
 * One trial: the load while the fault strikes; then, with the fault over if it is transient, whatever was delayed: all that is
 * acknowledged is flushed, the driver is killed once more, and every sector read back.
 */
export class Trial {
  readonly #parts: TrialParts;
  /** Of each device, the stand's own first. */
  readonly #clients: NbdClient[][] = [];
  readonly #startedAt = performance.now();
  #striker: Striker | undefined;
  #load: Loads | undefined;
  #watch: StrikeWatch | undefined;
  #loadMs = 0;
  #idle: Findings | undefined;
  /** What had been found when the engine killed drivers itself, which is nobody's fault; and how many of them. */
  #foundBefore = 0;
  #killed = 0;
  /** That kill has not been noticed yet. */
  #isKilling = false;
  #failure: string | undefined;
  #hang: string | undefined;

  constructor(parts: TrialParts) {
    this.#parts = parts;
  }

  /** When the fault has struck so far, by Date.now(), oldest first. What is found of the engine's own kill wasn't struck by any. */
  get strikes(): readonly number[] {
    if (this.#isKilling) return [];
    return this.#striker === undefined ? this.#parts.mark().timesMs : this.#striker.strikes;
  }

  /** Never rejects; the stand is ended. */
  async run(): Promise<TrialResult> {
    const { stand, tell } = this.#parts;
    try {
      await this.#start();
      if (this.#failure === undefined) await this.#strain();
    } catch (error) {
      if (!(error instanceof Hung)) throw error;
      this.#hang = error.message;
      tell(`hang: ${error.message}`);
    } finally {
      this.#striker?.end();
      this.#watch?.end();
    }
    const findings = stand.findings();
    for (const client of this.#clients.flat()) client.destroy();
    await stand.end();
    return this.#result(findings, stand.findings().incident);
  }

  /** The driver may fail to start for its fault: that is an honest failure. */
  async #start(): Promise<void> {
    const { stand, tell } = this.#parts;
    try {
      await this.#bounded("the device to be served", stand.start());
      for (const { uri } of [stand, ...stand.neighbours]) {
        const clients: NbdClient[] = [];
        this.#clients.push(clients);
        await connectLoad(uri, stand.reconnects, clients);
      }
    } catch (error) {
      if (error instanceof Hung) throw error;
      this.#failure = (error as Error).message;
      tell(`not served: ${this.#failure}`);
    }
  }

  async #strain(): Promise<void> {
    const { plan, options, stand, tell, outlives, mayMix = false, lingerMs = LINGER_MS } = this.#parts;
    const { fault, load: pattern, seed } = plan;
    const load = new Loads(this.#clients, { pattern, seed, mayMix });
    this.#load = load;
    // A front can vouch for no sector that it hasn't seen.
    if (options.verify !== "none") await this.#bounded("the first writes", load.writeAll());
    this.#idle = stand.findings();
    const loadedAt = performance.now();
    tell(`load: ${pattern}, for ${options.loadMs} ms`);
    load.start();
    if (fault.tier === "process" && !isSeizure(fault.kind)) {
      this.#striker = new Striker(fault, stand, new SeededRandom(seed));
      this.#striker.begin();
    }
    this.#watch = new StrikeWatch(
      () => this.strikes,
      () => load.tally.requests,
      (first) => tell(`the fault struck ${timeOf(first)}`),
    );
    await delay(options.loadMs);
    await waitFor(lingerMs, () => (this.#hasHadEffect() ? true : undefined));
    await this.#bounded("the answers to the load", load.stop());
    this.#loadMs = performance.now() - loadedAt;
    tell(`load: ended with ${describe(load.tally)}`);
    if (fault.persistence === "transient") this.#striker?.end();
    await this.#settle();
    // A striker that goes on has killed, or stopped, each of them anyway.
    if (outlives && (this.#striker === undefined || fault.persistence === "transient")) await this.#killOnceMore();
    tell("read-back: begins");
    await this.#bounded("the read-back", load.readBack());
    tell(`read-back: ended with ${describe(load.tally)}`);
  }

  /**
   * Some ends take time: memory has to be filled, and a row of strikes needs somebody who is struck. And a call with a high number comes
   * late where the machine has much else to do. Code may never be reached: nothing is expected of it.
   */
  #hasHadEffect(): boolean {
    const { plan, stand, mark } = this.#parts;
    const { fault } = plan;
    const { detections, state } = stand.findings();
    if (fault.tier === "code" || state === "failed") return true;
    if (fault.tier === "wire") return mark().struck;
    const isOver = this.#striker?.isOver ?? true;
    const killed = this.#striker?.killed ?? 0;
    return isOver && (fault.kind === "stop" || detections.length >= Math.max(fault.strikes, killed));
  }

  /** With a fault that is still there it may never serve again, which its state tells, or not for long. */
  async #settle(): Promise<void> {
    const { plan, stand } = this.#parts;
    const settled = stand.settled().catch(() => {});
    const isPersistent = plan.fault.persistence === "persistent";
    await this.#bounded("the device to serve again", isPersistent ? within(PERSISTENT_SETTLE_MS, settled) : settled);
  }

  /** So that what the driver has only said to be durable is found missing. */
  async #killOnceMore(): Promise<void> {
    const { stand, tell } = this.#parts;
    // What can't be flushed is the shadow's affair, and found in the read-back.
    const flushes = this.#clients.map(async ([client]) => {
      if (client?.canFlush) await client.flush().catch(() => {});
    });
    await this.#bounded("the flush", Promise.all(flushes));
    const devices = [stand, ...stand.neighbours];
    const pids = devices.map((device) => device.victim());
    const victims = pids.filter((pid) => pid !== undefined);
    if (victims.length === 0) return;
    this.#foundBefore = stand.findings().detections.length;
    this.#killed = victims.length;
    this.#isKilling = true;
    tell("the driver is killed, to see what is left");
    for (const pid of victims) kill(pid);
    const isThere = (pid: number | undefined, at: number): boolean =>
      pid !== undefined && devices[at]?.victim() === pid;
    await waitFor(DEATH_MS, () => (pids.some(isThere) ? undefined : true));
    this.#isKilling = false;
    await this.#settle();
  }

  /** Rejects with Hung where nothing is answered any more; what `work` rejects with is passed on. */
  async #bounded(what: string, work: Promise<unknown>): Promise<void> {
    const { silenceMs = SILENCE_MS } = this.#parts;
    const begun = performance.now();
    let answered = -1;
    let answeredAt = begun;
    for (;;) {
      if (await within(LOOK_MS, work)) return;
      const now = performance.now();
      const requests = this.#load?.tally.requests ?? 0;
      if (requests !== answered) {
        answered = requests;
        answeredAt = now;
      }
      if (now - answeredAt < silenceMs && now - begun < STEP_MS) continue;
      work.catch(() => {});
      throw new Hung(`waited ${Math.round(now - begun)} ms in vain for ${what}`);
    }
  }

  #result({ detections, restarts, state, ...after }: Findings, incident: string | undefined): TrialResult {
    const { plan, mark } = this.#parts;
    const tally = this.#load?.tally;
    const struck = this.#striker === undefined ? mark().struck : this.#striker.strikes.length > 0;
    const first = this.#watch?.first;
    const found = this.#withoutOwn(detections);
    const faultRestarts = restarts - (detections.length - found.length);
    const failed = this.#failure === undefined ? 0 : 1;
    const errors = (tally?.errors ?? 0) + failed;
    const wrong = tally?.wrong ?? 0;
    const outcome = verdict({
      tier: plan.fault.tier,
      struck,
      hung: this.#hang !== undefined,
      wrong,
      errors,
      detections: found.length,
      restarts: faultRestarts,
      // One that is on its way back has answered everything, if there was no error.
      serves: state !== "failed" && state !== "held",
    });
    const { driverCpuMs, frontCpuMs } = this.#idle ?? {};
    return {
      plan,
      outcome,
      struck,
      struckMs: first?.ms,
      struckRequests: first?.requests,
      detections: found,
      restarts: faultRestarts,
      state,
      requests: tally?.requests ?? 0,
      errors,
      firstError: this.#failure ?? tally?.firstError ?? this.#hang,
      wrong,
      flushLies: tally?.flushLies ?? 0,
      firstWrong: tally?.wrongs[0]?.description,
      stallMs: tally?.longestGapMs ?? 0,
      loadMs: this.#loadMs,
      totalMs: performance.now() - this.#startedAt,
      driverCpuMs: since(driverCpuMs, after.driverCpuMs),
      frontCpuMs: since(frontCpuMs, after.frontCpuMs),
      incident: incident ?? this.#falseAlarm(struck, found),
    };
  }

  /** Without what the engine's own kill was found to be. */
  #withoutOwn(detections: readonly Detection[]): Detection[] {
    let own = this.#killed;
    return detections.filter(({ kind }, index) => !(index >= this.#foundBefore && kind === "killed" && own-- > 0));
  }

  /** Nothing had been done to it. */
  #falseAlarm(struck: boolean, [first]: readonly Detection[]): string | undefined {
    if (struck || first === undefined) return undefined;
    return `the driver was found at fault (${first.kind}: ${first.reason}) although nothing had struck it`;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended by itself.
  }
}

function since(before: number | undefined, after: number | undefined): number | undefined {
  return before === undefined || after === undefined ? undefined : Math.max(0, after - before);
}

function describe({ requests, errors, wrong, firstError, wrongs }: LoadTally): string {
  const details = [firstError, wrongs[0]?.description].filter((text) => text !== undefined);
  return [`${requests} requests, ${errors} errors, ${wrong} wrong sectors`, ...details].join("; ");
}
