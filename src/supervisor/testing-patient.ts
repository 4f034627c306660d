import type { Incarnations, Operation, Timer, Usage, Vitals } from "../shadow/ports.ts";
import type { InFlight } from "../shadow/watch.ts";
import { Judge, type Verdict } from "./judge.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";

/**
 * - "well": its event loop turns, requests complete when the store is done with them.
 * - "loop": an endless loop. "blocked": waits in a call. "deadlock": its event loop turns, and nothing completes.
 */
export type Condition = "well" | "loop" | "blocked" | "deadlock";

interface Submitted {
  readonly operation: Operation;
  readonly since: number;
  /** When the store is done with it. */
  readonly doneAt: number;
}

/** Timers of Node are late by up to so much where nothing else is to be done. */
const TIMER_LATE_MS = 1;

/** A judged driver, its machine and its clients, in steps of a millisecond. What befalls them is the test's to say. */
export class Patient implements InFlight {
  readonly policy: Policy;
  readonly judge: Judge;
  /** All that was found, with the time of it. */
  readonly verdicts: (Verdict & { readonly at: number })[] = [];
  vitalsReads = 0;
  pings = 0;

  // The driver.
  condition: Condition = "well";
  starved = false;
  suspended = false;
  inKernel = false;
  /** Its event loop turns, and it takes CPU time all the same. */
  works = false;
  usage: Usage | undefined;
  /** What its link is like. */
  gives = { beats: true, vitals: true };
  patience = 1;

  // Its store and its clients.
  latency: (operation: Operation) => number = () => 1;
  operations: readonly Operation[] = ["read", "write"];
  depth = 0;
  /** The front does not get to run. */
  frontStalled = false;

  // InFlight.
  lastChance = false;
  now = 0;
  completed = 0;
  #submitted: Submitted[] = [];
  #slowest = new Map<Operation, number>();

  #time = 0;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];
  #published: Submitted[] = [];
  #beat = 0;
  #heard = 0;
  #cpuMs = 0;
  #starvedMs = 0;
  /** For a core; it shows when it is over. */
  #waitedMs = 0;
  #turn = 0;
  #epoch = 0;
  /** What a sick incarnation left, until its successor has answered that much. */
  #left = 0;

  constructor(policy: Partial<Policy> = {}) {
    this.policy = { ...DEFAULT_POLICY, ...policy };
    const incarnations: Pick<Incarnations, "ping" | "beat" | "vitals" | "usage"> = {
      ping: () => void this.pings++,
      beat: () => (this.gives.beats ? this.#beat : undefined),
      vitals: () => this.#vitals(),
      usage: () => this.usage,
    };
    this.judge = new Judge(
      {
        clock: { now: () => this.#time, after: (ms, callback) => this.#after(ms, callback) },
        incarnations,
        inFlight: () => this,
        found: (_, verdict) => void this.verdicts.push({ ...verdict, at: this.#time }),
      },
      this.policy,
    );
  }

  get time(): number {
    return this.#time;
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** A new incarnation, well, which gets what the one before has left undone. */
  start(): this {
    this.condition = "well";
    this.suspended = false;
    this.#left = this.#submitted.length;
    this.#published = [];
    this.completed = 0;
    this.#heard = this.pings;
    this.#submitted = this.#submitted.map(({ operation }) => this.#submission(operation));
    this.judge.watch(++this.#epoch, this.patience);
    return this;
  }

  submit(operation: Operation): void {
    this.#submitted.push(this.#submission(operation));
    if (this.#turns) this.#beat++;
  }

  /** Lets time pass, to the first new verdict at most, which it returns. */
  pass(ms: number): (Verdict & { readonly at: number }) | undefined {
    const before = this.verdicts.length;
    for (const until = this.#time + ms; this.#time < until && this.verdicts.length === before; ) this.#step();
    return this.verdicts[before];
  }

  /** The whole machine stands still. */
  pause(ms: number): void {
    this.#time += ms;
    this.#submitted = this.#submitted.map((one) => ({ ...one, doneAt: one.doneAt + ms }));
  }

  // ── InFlight ──────────────────────────────────────────────────────────────────────────────────────────────────

  get outstanding(): number {
    return this.#submitted.length;
  }

  each(visit: (operation: Operation, since: number) => void): void {
    for (const { operation, since } of this.#submitted) visit(operation, since);
  }

  takeSlowest(operation: Operation): number | undefined {
    const slowest = this.#slowest.get(operation);
    this.#slowest.delete(operation);
    return slowest;
  }

  #after(ms: number, callback: () => void): Timer {
    const timer = { at: this.#time + ms + TIMER_LATE_MS, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  #step(): void {
    this.#time++;
    this.#live();
    if (this.frontStalled) return;
    // Timers come first: the judge looks before the front has taken what waits for it.
    for (const timer of this.#timers.filter(({ at }) => at <= this.#time)) {
      if (!this.#timers.includes(timer)) continue;
      this.#timers = this.#timers.filter((other) => other !== timer);
      timer.callback();
    }
    for (const one of this.#published) this.#complete(one);
    this.#published = [];
    while (this.#submitted.length < this.depth) this.submit(this.#nextOperation());
  }

  /** A millisecond of the driver's life. */
  #live(): void {
    if (this.suspended) return;
    if (this.starved) {
      this.#waitedMs++;
      return;
    }
    this.#starvedMs += this.#waitedMs;
    this.#waitedMs = 0;
    if (this.condition === "loop" || this.works) this.#cpuMs++;
    if (!this.#turns) return;
    if (this.#heard !== this.pings) {
      this.#heard = this.pings;
      this.#beat++;
    }
    if (this.condition === "deadlock") return;
    const done = this.#submitted.filter((one) => one.doneAt <= this.#time && !this.#published.includes(one));
    this.#published.push(...done);
  }

  get #turns(): boolean {
    return !this.suspended && !this.starved && (this.condition === "well" || this.condition === "deadlock");
  }

  #complete(one: Submitted): void {
    this.#submitted = this.#submitted.filter((other) => other !== one);
    this.completed++;
    const tookMs = this.now - one.since;
    this.#slowest.set(one.operation, Math.max(tookMs, this.#slowest.get(one.operation) ?? 0));
    if (this.#left > 0 && --this.#left === 0 && this.verdicts.length > 0) this.judge.absolve();
  }

  #submission(operation: Operation): Submitted {
    return { operation, since: this.now, doneAt: this.#time + this.latency(operation) };
  }

  #nextOperation(): Operation {
    return this.operations[this.#turn++ % this.operations.length] as Operation;
  }

  #vitals(): Vitals | undefined {
    this.vitalsReads++;
    if (!this.gives.vitals) return undefined;
    const { suspended, inKernel } = this;
    const ready = !suspended && !inKernel && (this.condition === "loop" || this.starved);
    return { cpuMs: this.#cpuMs, starvedMs: this.#starvedMs, ready, suspended, inKernel };
  }
}
