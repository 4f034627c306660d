import type { Blame } from "../block/fault.ts";
import type { Flusher } from "./flusher.ts";
import type { Operation } from "./operation.ts";
import type { Clock, Operation as Kind, Timer } from "./ports.ts";
import type { Schedule } from "./schedule.ts";
import type { Shadow } from "./shadow.ts";
import type { Submissions } from "./submissions.ts";

/** With so many incarnations that died it makes a suspect, which is tried alone. */
const SUSPICIOUS_DEATHS = 2;
/** So many deaths alone with the driver convict it, if each was surely the driver's own; else it takes more. */
const CONVICTING_DEATHS = 2;
const CONVICTING_UNSURE_DEATHS = 3;
/** How long an incarnation has to live without its suspects first: one that dies in that time doesn't die of them. */
const QUIET_MS = 20;

/** How often something was with an incarnation when it died. */
export interface Charges {
  readonly deaths: number;
  /** … and nothing else was. */
  readonly alone: number;
  /** … and nobody but the driver itself can have been the cause. */
  readonly surely: number;
}

/** What speaks against the requests that an incarnation had in hand when it was given up. */
export interface Suspicion {
  readonly blame: Blame;
  /** If only some of them are suspected: those submissions. `since`: in the judge's time. */
  readonly isSuspected?: (kind: Kind, since: number) => boolean;
}

export interface TrialPorts {
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly shadow: Shadow;
  readonly flusher: Flusher;
  /** Has the driver read something that `suspect`, or a flush, doesn't concern. Returns that read. */
  control(submissions: Submissions, suspect: Operation | undefined): Operation | undefined;
  /** So many more operations are suspects. */
  suspected(count: number): void;
  /** There may be something to issue. */
  kick(): void;
}

/**
 * Who kills? (P8) What was with two incarnations when they died is tried alone: it waits while everything else goes on, is then
 * issued when nothing else is with the driver, and while it is there nothing else is issued.
 *
 *   ready ──suspect──▶ waiting ──quiet is over, the driver is idle──▶ current ──▶ completed: acquitted
 *                                                                       └──────▶ the incarnation dies: charged, alone
 *
 * A flush is never in this queue: it waits with the flusher, for the same.
 */
export class Trial {
  readonly #ports: TrialPorts;
  #waiting: Operation[] = [];
  /** The one that is with the driver, alone. */
  #current: Operation | undefined;
  /** A read that shows that the driver can do anything at all: else its death would prove nothing. */
  #control: Operation | undefined;
  /** Incarnations in a row that died of that. */
  #controlDeaths = 0;
  #quietUntil = 0;
  #timer: Timer | undefined;
  /** Somebody may be a suspect. */
  #suspects = false;

  constructor(ports: TrialPorts) {
    this.#ports = ports;
  }

  get current(): Operation | undefined {
    return this.#current;
  }

  /** An incarnation has begun to serve. */
  begin(): void {
    this.#quietUntil = this.#ports.clock.now() + QUIET_MS;
  }

  /** The incarnation is lost. */
  clear(): void {
    this.#waiting = [];
    this.#current = undefined;
    this.#control = undefined;
  }

  /** The order of operations was made anew: those who waited will come again. */
  rebuilt(): void {
    this.#waiting = [];
  }

  dispose(): void {
    this.#timer?.cancel();
  }

  /** What to issue a part of: see {@link Schedule.next}. `flushIsNext`: a flush waits for nothing but the driver. */
  next(submissions: Submissions, startsRequests: boolean, flushIsNext: boolean): Operation | undefined {
    if (this.#current !== undefined) return this.#current.allIssued ? undefined : this.#current;
    const { schedule, flusher } = this.#ports;
    submissions.lastChance = flusher.inFlight !== undefined && isLastChance(flusher.charges);
    for (;;) {
      const flushWaits = flushIsNext && isSuspect(flusher.charges);
      const flushIsTried = flusher.inFlight !== undefined && isSuspect(flusher.charges);
      if (flushIsTried || ((this.#waiting.length > 0 || flushWaits) && this.#quietIsOver())) {
        if (submissions.outstanding > 0) return undefined;
        const suspect = this.#firstReady();
        if (suspect !== undefined) return this.#start(submissions, suspect);
        if (flushIsTried || flushWaits) return undefined;
      }
      const operation = schedule.next(startsRequests);
      if (operation === undefined || operation.issued || !isSuspect(operation.charges)) return operation;
      schedule.takeOut(operation);
      this.#waiting.push(operation);
    }
  }

  /** Whether a flush may be submitted: a suspect, be it the flush or another, has to have the driver to itself. */
  mayFlush(submissions: Submissions): boolean {
    if (this.#current !== undefined) return false;
    if (!isSuspect(this.#ports.flusher.charges)) return true;
    if (submissions.outstanding > 0 || !this.#quietIsOver() || !this.#isProven(submissions, undefined)) return false;
    submissions.lastChance = isLastChance(this.#ports.flusher.charges);
    return true;
  }

  /** Whether this was the read before a trial. */
  isControl(operation: Operation): boolean {
    if (operation !== this.#control) return false;
    this.#control = undefined;
    this.#controlDeaths = 0;
    return true;
  }

  /** It has completed, however it did: it doesn't kill. */
  completed(operation: Operation): void {
    if (operation !== this.#current) return;
    this.#current = undefined;
    operation.charges = undefined;
  }

  /** The incarnation is given up: charges what was with it. Returns those that have been convicted by this. */
  charge(submissions: Submissions, { blame, isSuspected = () => true }: Suspicion): Operation[] {
    if (blame === "nobody") return [];
    const { flusher } = this.#ports;
    const flush = flusher.inFlight?.operation;
    const tried = this.#current ?? (isSuspect(flusher.charges) ? flush : undefined);
    // A hang of one that can't do anything says nothing about what it was given.
    const proves = blame === "requests" || submissions.completed > 0 || this.#controlDeaths >= SUSPICIOUS_DEATHS;
    if (this.#control !== undefined) this.#controlDeaths++;
    const alone = proves && tried !== undefined && submissions.inFlight(() => true).size === 1;
    // Suspects waited to be tried, and it died without them: somebody else ends incarnations.
    if (tried === undefined && blame === "perhaps") this.acquitAll();
    const convicts: Operation[] = [];
    let suspects = 0;
    for (const operation of submissions.inFlight(isSuspected)) {
      if (operation.request === undefined && operation.piece === undefined && operation !== flush) continue;
      const holder = operation === flush ? flusher : operation;
      const wasSuspect = isSuspect(holder.charges);
      holder.charges = charged(holder.charges, blame, alone && operation === tried);
      if (isConvicted(holder.charges)) convicts.push(operation);
      else if (!wasSuspect && isSuspect(holder.charges)) suspects++;
    }
    if (suspects > 0) {
      this.#suspects = true;
      this.#ports.suspected(suspects);
    }
    return convicts;
  }

  /** Suspects go free: it was somebody else. */
  acquitAll(): void {
    if (this.#suspects) this.pardon();
  }

  /** Nothing is held against anybody. */
  pardon(): void {
    this.#suspects = false;
    const { schedule, shadow, flusher } = this.#ports;
    for (const request of schedule.requests) request.charges = undefined;
    for (const piece of shadow.pieces) piece.charges = undefined;
    flusher.pardon();
  }

  /** The driver is idle: the suspect, once the driver has shown that it can do anything. */
  #start(submissions: Submissions, suspect: Operation): Operation | undefined {
    if (!this.#isProven(submissions, suspect)) return undefined;
    this.#waiting.shift();
    this.#current = suspect;
    submissions.lastChance = isLastChance(suspect.charges);
    return suspect;
  }

  /** Whether the incarnation has shown that it can do anything. If not, it is asked to; where that kills as well, it isn't. */
  #isProven(submissions: Submissions, suspect: Operation | undefined): boolean {
    if (submissions.completed > 0 || this.#controlDeaths >= SUSPICIOUS_DEATHS) return true;
    this.#control ??= this.#ports.control(submissions, suspect);
    return false;
  }

  #firstReady(): Operation | undefined {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || (first.blockers === 0 && !first.allIssued)) return first;
      this.#waiting.shift();
    }
  }

  #quietIsOver(): boolean {
    const left = this.#quietUntil - this.#ports.clock.now();
    if (left <= 0) return true;
    this.#timer ??= this.#ports.clock.after(left, () => {
      this.#timer = undefined;
      this.#ports.kick();
    });
    return false;
  }
}

function isSuspect(charges: Charges | undefined): boolean {
  return charges !== undefined && charges.deaths >= SUSPICIOUS_DEATHS;
}

function isLastChance(charges: Charges | undefined): boolean {
  return charges !== undefined && charges.alone >= CONVICTING_UNSURE_DEATHS - 1;
}

/** Another incarnation has died with it in hand. */
function charged(before: Charges | undefined, blame: Blame, alone: boolean): Charges {
  const { deaths, alone: aloneBefore, surely } = before ?? { deaths: 0, alone: 0, surely: 0 };
  return {
    deaths: deaths + 1,
    alone: aloneBefore + (alone ? 1 : 0),
    surely: surely + (alone && blame === "requests" ? 1 : 0),
  };
}

function isConvicted({ alone, surely }: Charges): boolean {
  return surely >= CONVICTING_DEATHS || alone >= CONVICTING_UNSURE_DEATHS;
}
