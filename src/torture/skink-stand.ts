import type { FrontEvent, StreamedEvent } from "../front/events.ts";
import { Front } from "../front/front.ts";
import type { DeviceSpec } from "../front/spec.ts";
import type { DeviceStatus } from "../front/status.ts";
import { readStat } from "../os/process-stat.ts";
import type { Policy } from "../supervisor/policy.ts";
import type { Detection } from "./plan.ts";
import type { Findings, Neighbour, Stand } from "./stand.ts";
import { StrikeClock } from "./strike-clock.ts";
import { waitFor, within } from "./wait.ts";

const DEVICE = "torture";
/** For the driver to come to rest once the faults are over. */
const SETTLE_MS = 60_000;
/** More than an orderly stop may take by the policy. */
const STOP_MS = 20_000;
/** What a device doesn't leave by itself. */
const AT_REST: readonly DeviceStatus["state"][] = ["live", "degraded", "failed"];
/** How often is looked for a new process of the driver. */
const LOOK_MS = 5;

/**
 * The default policy, with an end to everything within the time of a trial, so that a bug that stays ends in `failed`, or in a request
 * that is convicted, and not in a wait that looks like a hang. What keeps the judge from false verdicts on a busy machine stays:
 * its floors, and that its time is the driver's and not the clock's.
 */
const TORTURE_POLICY: Partial<Policy> = {
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
  /** Of devices beside it: see Stand. None if left out. */
  readonly neighbours?: readonly DeviceSpec[];
  readonly verify: "none" | "digests";
  /** Whether the shadow retains anything. */
  readonly shadow: boolean;
  /** When the fault has struck so far, by Date.now(), oldest first. */
  strikes(): readonly number[];
  /** Takes a line for the story of the trial. */
  tell(line: string): void;
}

/** Something found about a device. `halts`: the incarnation is given up for it, so that there is something to recover from. */
interface Finding {
  readonly device: string;
  readonly at: number;
  readonly halts: boolean;
  detection: Detection;
}

/** A front in this process, with a driver or server behind it, and perhaps others beside that. */
export class SkinkStand implements Stand {
  readonly reconnects = false;
  readonly neighbours: readonly Neighbour[];
  readonly #options: SkinkStandOptions;
  readonly #front: Front;
  readonly #following = new AbortController();
  readonly #detections: Finding[] = [];
  /** Of each device. */
  readonly #clocks: ReadonlyMap<string, StrikeClock>;
  readonly #cpuBefore = process.cpuUsage();
  readonly #childrenBefore = childrenCpuMs();
  readonly #victimCallbacks: ((pid: number) => void)[] = [];
  #victim: number | undefined;
  #looking: NodeJS.Timeout | undefined;
  #last: readonly DeviceStatus[] | undefined;
  #incident: string | undefined;

  /** Nothing runs yet. */
  constructor(options: SkinkStandOptions) {
    this.#options = options;
    const { spec, neighbours = [], shadow, verify } = options;
    const names = [DEVICE, ...neighbours.map((_, index) => `${DEVICE}-${index + 2}`)];
    this.#front = new Front({
      devices: [spec, ...neighbours].map((spec, index) => ({
        name: names[index] as string,
        spec,
        retains: shadow,
        ...(verify === "none" ? {} : { verify }),
        // Each trial has stores of its own.
        shared: true,
        policy: TORTURE_POLICY,
        limits: LIMITS,
      })),
    });
    this.#clocks = new Map(names.map((name) => [name, new StrikeClock(() => options.strikes())]));
    this.neighbours = neighbours.map((_, index) => {
      const name = names[index + 1] as string;
      const uri = (): string => this.#front.uri(name);
      return {
        get uri() {
          return uri();
        },
        victim: () => pidOf(this.#status()[index + 1]),
      };
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
    const devices = this.#status();
    const { user, system } = process.cpuUsage(this.#cpuBefore);
    return {
      detections: this.#detections.map(({ detection }) => detection),
      restarts: sum(devices.map(({ restarts }) => restarts)),
      state: worst(devices.map(({ state }) => state)),
      driverCpuMs: childrenCpuMs() - this.#childrenBefore + sum(devices.map((device) => cpuMsOf(pidOf(device)))),
      frontCpuMs: (user + system) / 1000,
      ...(this.#incident === undefined ? {} : { incident: this.#incident }),
    };
  }

  /** Rejects where a device has failed, or doesn't come back. */
  async settled(): Promise<void> {
    const states = await waitFor(SETTLE_MS, () => {
      const states = this.#status().map(({ state }) => state);
      return states.every((state) => AT_REST.includes(state)) ? states : undefined;
    });
    if (states === undefined || states.includes("failed")) throw new Error(`The device is ${this.findings().state}`);
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

  /** Of all devices, the stand's own first. */
  #status(): readonly DeviceStatus[] {
    return this.#last ?? this.#front.status().devices;
  }

  #look(): void {
    const pid = pidOf(this.#status()[0]);
    if (pid === this.#victim) return;
    this.#victim = pid;
    if (pid === undefined) return;
    for (const callback of this.#victimCallbacks) callback(pid);
  }

  async #follow(): Promise<void> {
    for await (const event of this.#front.events(this.#following.signal)) {
      if (event.type === "missed") continue;
      const who = event.device === DEVICE ? "" : ` of ${event.device}`;
      this.#options.tell(`${event.type}${who}: ${event.reason}`);
      this.#take(event);
      this.#look();
    }
  }

  #take(event: Exclude<StreamedEvent, { type: "missed" }>): void {
    if (event.type === "fault") this.#detected(event, event.fault, true);
    // What takes a restart is told as a fault of its own.
    else if (event.type === "lie" && event.cure !== "restart") this.#detected(event, "lie", false);
    else if (event.type === "live") this.#recovered(event.device, Date.parse(event.time));
  }

  #detected({ device, time, reason }: FrontEvent, kind: string, halts: boolean): void {
    const at = Date.parse(time);
    const detectMs = this.#clocks.get(device)?.detected(at);
    this.#detections.push({ device, at, halts, detection: { kind, reason, detectMs, recoverMs: undefined } });
  }

  #recovered(device: string, now: number): void {
    for (const entry of this.#detections) {
      if (entry.device !== device || !entry.halts || entry.detection.recoverMs !== undefined) continue;
      entry.detection = { ...entry.detection, recoverMs: now - entry.at };
    }
  }
}

function pidOf(device: DeviceStatus | undefined): number | undefined {
  return device?.driver.pid ?? undefined;
}

/** Of several devices, that which clients have least of. */
function worst(states: readonly DeviceStatus["state"][]): DeviceStatus["state"] {
  const stuck = (["failed", "held"] as const).find((state) => states.includes(state));
  return stuck ?? states.find((state) => state !== "live") ?? "live";
}

function cpuMsOf(pid: number | undefined): number {
  const stat = pid === undefined ? undefined : readStat(pid);
  return stat === undefined ? 0 : stat.cpuMs + stat.childrenCpuMs;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function childrenCpuMs(): number {
  return readStat(process.pid)?.childrenCpuMs ?? 0;
}
