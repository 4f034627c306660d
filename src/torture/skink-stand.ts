import type { FrontEvent, StreamedEvent } from "../front/events.ts";
import { Front } from "../front/front.ts";
import type { DeviceSpec } from "../front/spec.ts";
import type { DeviceStatus } from "../front/status.ts";
import { readStat } from "../os/process-stat.ts";
import type { Policy } from "../supervisor/policy.ts";
import type { Detection } from "./plan.ts";
import type { Findings, Stand } from "./stand.ts";
import { waitFor, within } from "./wait.ts";

const DEVICE = "torture";
/** For the driver to come to rest once the faults are over. */
const SETTLE_MS = 60_000;
/** More than an orderly stop may take by the policy. */
const STOP_MS = 20_000;
/** How often is looked for a new process of the driver. */
const LOOK_MS = 5;

/**
 * The default policy, with an end to everything within the time of a trial, so that a bug that stays ends in `failed`, or in a request
 * that is convicted, and not in a wait that looks like a hang. What keeps the judge from false verdicts on a busy machine stays:
 * its floors, and that its time is the driver's and not the clock's.
 */
export const TORTURE_POLICY: Partial<Policy> = {
  // A host is there in 60 ms on an idle machine.
  openTimeoutMs: 6000,
  heldTimeoutMs: 15_000,
  stopTimeoutMs: 5000,
  stuckFloorMs: 700,
  // Each deadline that is missed doubles the next one; so no more than twice or thrice.
  deadlineCeilingMs: 2500,
  restartDelayMs: 20,
  maxRestartDelayMs: 200,
  // More than the longest row of strikes, and than it takes to convict a request or two.
  restartBudget: 12,
  exhausted: "failed",
  // What takes memory without end is to be noticed before the machine has none left.
  maxResidentBytes: 256 << 20,
};

/** Enough for what a trial's load uses: the usual table takes as long to make as some hundred requests. */
const LIMITS = { digestBytes: 4 << 20 };

export interface SkinkStandOptions {
  readonly spec: DeviceSpec;
  readonly verify: "none" | "digests";
  /** Whether the shadow retains anything. */
  readonly shadow: boolean;
  /** When the newest fault struck, by Date.now(), if any has. */
  struckAt(): number | undefined;
  /** Takes a line for the story of the trial. */
  tell(line: string): void;
}

/** A front in this process, with a driver or server behind it. */
export class SkinkStand implements Stand {
  readonly reconnects = false;
  readonly #options: SkinkStandOptions;
  readonly #front: Front;
  readonly #following = new AbortController();
  /** `halts`: the incarnation is given up for it, so that there is something to recover from. */
  readonly #detections: { at: number; halts: boolean; detection: Detection }[] = [];
  readonly #cpuBefore = process.cpuUsage();
  readonly #childrenBefore = childrenCpuMs();
  readonly #victimCallbacks: ((pid: number) => void)[] = [];
  #victim: number | undefined;
  #looking: NodeJS.Timeout | undefined;
  #reportedStrike: number | undefined;
  #last: DeviceStatus | undefined;
  #incident: string | undefined;

  /** Nothing runs yet. */
  constructor(options: SkinkStandOptions) {
    this.#options = options;
    const { spec, shadow, verify } = options;
    this.#front = new Front({
      devices: [
        {
          name: DEVICE,
          spec,
          retains: shadow,
          ...(verify === "none" ? {} : { verify }),
          // Each trial has a store of its own.
          shared: true,
          policy: TORTURE_POLICY,
          limits: LIMITS,
        },
      ],
    });
  }

  /** Resolves when clients may come. Rejects as the front does, and then nothing but `end` is of use. */
  async start(): Promise<void> {
    void this.#follow();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    const started = this.#front.start();
    this.#look();
    await started;
    this.#look();
  }

  get uri(): string {
    return this.#front.uri(DEVICE);
  }

  victim(): number | undefined {
    this.#look();
    return this.#victim;
  }

  onVictim(callback: (pid: number) => void): void {
    this.#victimCallbacks.push(callback);
    if (this.#victim !== undefined) callback(this.#victim);
  }

  findings(): Findings {
    const { state, restarts } = this.#status();
    const { user, system } = process.cpuUsage(this.#cpuBefore);
    const living = this.#victim === undefined ? undefined : readStat(this.#victim);
    const livingMs = living === undefined ? 0 : living.cpuMs + living.childrenCpuMs;
    return {
      detections: this.#detections.map(({ detection }) => detection),
      restarts,
      state,
      driverCpuMs: childrenCpuMs() - this.#childrenBefore + livingMs,
      frontCpuMs: (user + system) / 1000,
      ...(this.#incident === undefined ? {} : { incident: this.#incident }),
    };
  }

  /** Rejects where the device has failed, or doesn't come back. */
  async settled(): Promise<void> {
    const state = await waitFor(SETTLE_MS, () => {
      const { state } = this.#status();
      return state === "live" || state === "degraded" || state === "failed" ? state : undefined;
    });
    if (state === "failed" || state === undefined) throw new Error(`The device is ${this.#status().state}`);
  }

  async end(): Promise<void> {
    clearInterval(this.#looking);
    this.#last = this.#status();
    const stopped = this.#front.stop();
    const isOver = await within(STOP_MS, Promise.all([stopped, this.#front.ended]));
    this.#following.abort();
    if (isOver) return;
    this.#front.abandon();
    this.#incident = `the front did not stop within ${STOP_MS} ms`;
  }

  #status(): DeviceStatus {
    return this.#last ?? (this.#front.status().devices[0] as DeviceStatus);
  }

  #look(): void {
    const pid = this.#status().driver.pid ?? undefined;
    if (pid === this.#victim) return;
    this.#victim = pid;
    if (pid === undefined) return;
    for (const callback of this.#victimCallbacks) callback(pid);
  }

  async #follow(): Promise<void> {
    for await (const event of this.#front.events(this.#following.signal)) {
      if (event.type === "missed") continue;
      this.#options.tell(`${event.type}: ${event.reason}`);
      this.#take(event);
      this.#look();
    }
  }

  #take(event: Exclude<StreamedEvent, { type: "missed" }>): void {
    if (event.type === "fault") this.#detected(event, event.fault, true);
    // What takes a restart is told as a fault of its own.
    else if (event.type === "lie" && event.cure !== "restart") this.#detected(event, "lie", false);
    else if (event.type === "live") this.#recovered(Date.parse(event.time));
  }

  #detected({ time, reason }: FrontEvent, kind: string, halts: boolean): void {
    const at = Date.parse(time);
    const struckAt = this.#options.struckAt();
    const isNew = struckAt !== undefined && struckAt !== this.#reportedStrike && struckAt <= at;
    if (isNew) this.#reportedStrike = struckAt;
    const detectMs = isNew ? at - struckAt : undefined;
    this.#detections.push({ at, halts, detection: { kind, reason, detectMs, recoverMs: undefined } });
  }

  #recovered(now: number): void {
    for (const entry of this.#detections) {
      if (!entry.halts || entry.detection.recoverMs !== undefined) continue;
      entry.detection = { ...entry.detection, recoverMs: now - entry.at };
    }
  }
}

function childrenCpuMs(): number {
  return readStat(process.pid)?.childrenCpuMs ?? 0;
}
