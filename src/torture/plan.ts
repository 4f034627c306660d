/** The words of a campaign: what is done to a driver, and what came of it. Everything here goes through JSON unchanged. */
import type { LoadPattern } from "../load/pattern.ts";

/** Where a fault sits: in the driver's code, in what passes between driver and front, or in its process. */
export type Tier = "code" | "wire" | "process";

/** A transient fault is gone with the incarnation that it has struck; a persistent one is there again after each restart. */
export type Persistence = "transient" | "persistent";

/** A change of the driver's source. Positions are those of the file as it is. */
export interface CodeFault {
  readonly tier: "code";
  /** The name of the operator that made it, such as "inverted-condition": see mutation/operators. */
  readonly kind: string;
  readonly persistence: Persistence;
  /** A file URL. */
  readonly file: string;
  /** UTF-16 code units from the start of the file; `replacement` takes the place of what is in between. */
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
  /** For people: from 1 on, and what is changed to what, one line. */
  readonly line: number;
  readonly description: string;
}

/**
 * The taxonomy of MINIX's faulty block device, and what a completion can be wrong about. `late`: the answer comes when the judge may
 * already have lost patience, or just before; `lost`: a write is acknowledged and not done; `torn`: only its first part is done.
 */
export const WIRE_KINDS = [
  "wrong-tag",
  "short",
  "twice",
  "late",
  "corrupt",
  "misdirected-read",
  "misdirected-write",
  "lost",
  "torn",
] as const;
export type WireKind = (typeof WIRE_KINDS)[number];

export interface WireFault {
  readonly tier: "wire";
  readonly kind: WireKind;
  readonly persistence: Persistence;
  /** It strikes the n-th call that it can strike, counted from the start of an incarnation; a persistent one each n-th. */
  readonly nth: number;
}

export const PROCESS_KINDS = ["kill", "kill-all", "stop", "loop", "memory", "exit", "rejection"] as const;
/**
 * SIGKILL; SIGKILL of the drivers of several devices at once, each with what it has started; SIGSTOP for a while, an endless loop, memory
 * without end, process.exit, an unhandled rejection.
 */
export type ProcessKind = (typeof PROCESS_KINDS)[number];

export interface ProcessFault {
  readonly tier: "process";
  readonly kind: ProcessKind;
  readonly persistence: Persistence;
  /** Of a transient one: milliseconds into the load. Of a persistent one: into the life of each incarnation. */
  readonly afterMs: number;
  /** How many in a row, each on the next incarnation as soon as there is a process: in the midst of recovery. 1 for a single one. */
  readonly strikes: number;
  /** Of `stop`: until SIGCONT. 0 for the others. */
  readonly lastsMs: number;
}

export type Fault = CodeFault | WireFault | ProcessFault;

/** One trial, made of the campaign's seed and the trial's number alone: the same again for who asks for it. */
export interface TrialPlan {
  readonly index: number;
  /** For the load, and whatever else is drawn in the trial. */
  readonly seed: number;
  readonly fault: Fault;
  readonly load: LoadPattern;
}

export const OUTCOMES = ["no effect", "masked", "recovered", "failed honestly", "hang", "silent"] as const;
/**
 * - `no effect`: the fault was never reached, or changed nothing that anybody could see.
 * - `masked`: it struck, and no incarnation had to be given up for it; clients saw nothing.
 * - `recovered`: it was detected, the driver was restarted or replaced, clients saw nothing but a delay.
 * - `failed honestly`: requests were answered with errors, and everything that was not is right.
 * - `hang`: requests or the trial's end never came.
 * - `silent`: a read was answered with what it should not have been: lost, stale, corrupt.
 */
export type Outcome = (typeof OUTCOMES)[number];

/** One time that something was found wrong with an incarnation. Milliseconds. */
export interface Detection {
  /** The kind of fault in the supervisor's table (block/fault.ts), such as "hang" or "exit". */
  readonly kind: string;
  /** One line. */
  readonly reason: string;
  /** From the strike, where that is known, to the detection. */
  readonly detectMs: number | undefined;
  /** From the detection until the device was live again; undefined where that never came, or it was live all along. */
  readonly recoverMs: number | undefined;
}

export interface TrialResult {
  readonly plan: TrialPlan;
  readonly outcome: Outcome;
  /** Whether the fault is known to have struck (for the code tier: that the changed code was loaded and run). */
  readonly struck: boolean;
  /** When it struck for the first time, where that is known: milliseconds since the load began, less than 0 before that … */
  readonly struckMs: number | undefined;
  /** … and how many requests had been answered by then, as it was seen a few milliseconds before at most. */
  readonly struckRequests: number | undefined;
  readonly detections: readonly Detection[];
  readonly restarts: number;
  /** What the device was at the end: "live", "failed", …. */
  readonly state: string;
  readonly requests: number;
  /** Requests that were answered with an error, the read-back's among them; and the first one. */
  readonly errors: number;
  readonly firstError: string | undefined;
  /** Sectors that held what they should not have; of them writes that a flush had promised; and the first one. */
  readonly wrong: number;
  readonly flushLies: number;
  readonly firstWrong: string | undefined;
  /** The longest time without any completion. */
  readonly stallMs: number;
  /** Of the load alone, without set-up and read-back. */
  readonly loadMs: number;
  readonly totalMs: number;
  /** CPU time of the driver's processes and of the front's, the load included where it shares its process; undefined where not known. */
  readonly driverCpuMs: number | undefined;
  readonly frontCpuMs: number | undefined;
  /** What is a fault of Skink's own whatever the outcome, such as a front that died; one line. */
  readonly incident: string | undefined;
}

/** What makes a campaign; with `seed` and a trial's index all of a trial. */
export interface CampaignOptions {
  /** As it was given: a device spec. */
  readonly spec: string;
  readonly seed: number;
  readonly tiers: readonly Tier[];
  /** Left out: both, half and half. */
  readonly persistence: Persistence | undefined;
  readonly verify: "none" | "digests";
  /** Without it the target stands alone, with its usual recovery; a driver module stands behind a front that retains nothing. */
  readonly shadow: boolean;
  /** Of a target that stands alone: who reconnects. See servers/. */
  readonly recovery: Recovery | undefined;
  /** How long the load of one trial lasts. */
  readonly loadMs: number;
}

/** Who issues again what a dead server has not answered: our own client, nbdkit's retry filter, QEMU's reconnect-delay. */
export type Recovery = "client" | "nbdkit-retry" | "qemu-reconnect";

/** A campaign as it is kept: what all the reports are made from. */
export interface Campaign {
  readonly format: "skink-torture-1";
  /** Of Skink, of Node, of a foreign server, and of who reconnects to it where that is a program of its own. */
  readonly versions: Readonly<Record<string, string>>;
  readonly options: CampaignOptions;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly seconds: number;
  readonly trials: readonly TrialResult[];
}
