import type { Usage, Vitals } from "../shadow/ports.ts";
import type { VirtualClock } from "./clock.ts";
import type { Excessive, Hang, Sickness, Strain } from "./sickness.ts";

/** An answer to a ping takes so long, in milliseconds. */
const PING_MS = 1;
/** Of the time, what a driver that is well takes of a core. */
const CPU_SHARE = 0.1;
/** What it takes of what a policy may limit, and what one takes that has begun to take too much of it. */
const MODEST: Usage = { residentBytes: 50 << 20, openFiles: 20, lagMs: PING_MS };
const TOO_MUCH: Record<Excessive, Partial<Usage>> = {
  memory: { residentBytes: 400 << 20 },
  files: { openFiles: 500 },
  lag: { lagMs: 900 },
};

export type Condition = "well" | "dead" | Hang | Strain;

/** The process that an incarnation runs in, as the machine and its link show it. */
export class SimProcess {
  readonly #clock: VirtualClock;
  readonly #signs: Sickness["signs"];
  #condition: Condition = "well";
  #excess: Excessive | undefined;
  #since: number;
  #cpuMs = 0;
  #starvedMs = 0;
  #strainedMs = 0;
  #beat = 0;
  /** What it will do when it gets to run again. */
  #waiting: (() => void)[] = [];

  constructor(clock: VirtualClock, signs: Sickness["signs"]) {
    this.#clock = clock;
    this.#signs = signs;
    this.#since = clock.now();
  }

  get condition(): Condition {
    return this.#condition;
  }

  /** How long it has been under a strain so far, in milliseconds. */
  get strainedMs(): number {
    return this.#strainedMs;
  }

  /** What it takes too much of. */
  get excess(): Excessive | undefined {
    return this.#excess;
  }

  get usage(): Usage | undefined {
    if (!this.#signs.vitals || this.#condition === "dead") return undefined;
    const usage = { ...MODEST, ...(this.#excess === undefined ? {} : TOO_MUCH[this.#excess]) };
    return this.#signs.beats ? usage : { ...usage, lagMs: undefined };
  }

  get beat(): number | undefined {
    return this.#signs.beats ? this.#beat : undefined;
  }

  get vitals(): Vitals | undefined {
    if (!this.#signs.vitals || this.#condition === "dead") return undefined;
    this.#account();
    return {
      cpuMs: this.#cpuMs,
      starvedMs: this.#starvedMs,
      ready: this.#condition === "starved" || this.#condition === "loop",
      suspended: this.#condition === "suspended",
      inKernel: this.#condition === "in kernel",
    };
  }

  /** Does it now, or when it gets to run again, which may be never. */
  do(work: () => void): void {
    if (!this.#turns || this.#condition === "deadlock") {
      this.#waiting.push(work);
      return;
    }
    this.#beat++;
    work();
  }

  /** The doorbell rings: nothing is to be done but to hear it. */
  ring(): void {
    this.#clock.after(PING_MS, () => {
      if (this.#turns) this.#beat++;
    });
  }

  /** From now on it takes too much. */
  exceed(excess: Excessive): void {
    this.#excess = excess;
  }

  /** For good. */
  become(condition: Hang | "dead"): void {
    this.#change(condition);
    if (condition === "dead") this.#waiting = [];
  }

  /** For a while. */
  suffer(strain: Strain, ms: number): void {
    this.#change(strain);
    this.#clock.after(ms, () => {
      if (this.#condition !== strain) return;
      this.#strainedMs += ms;
      this.#change("well");
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const work of waiting) this.do(work);
    });
  }

  get #turns(): boolean {
    const condition = this.#condition;
    return condition === "well" || condition === "slow" || condition === "deadlock" || condition === "stuck";
  }

  #change(condition: Condition): void {
    this.#account();
    this.#condition = condition;
  }

  /** Books the time that has passed in the condition that it is in. */
  #account(): void {
    const now = this.#clock.now();
    const passedMs = now - this.#since;
    this.#since = now;
    if (this.#condition === "loop") this.#cpuMs += passedMs;
    else if (this.#condition === "starved") this.#starvedMs += passedMs;
    else if (this.#turns) this.#cpuMs += passedMs * CPU_SHARE;
  }
}
