import type { FaultKind } from "../block/fault.ts";
import type { Operation } from "../shadow/ports.ts";
import type { Policy } from "../supervisor/policy.ts";

/**
 * How an incarnation hangs, until it is killed.
 * - "loop": its event loop is busy for ever. "suspended": as by SIGSTOP. "blocked": in a call that doesn't return.
 * - "deadlock": its event loop turns, and nothing is executed any more. "stuck": one submission never completes.
 */
export type Hang = "loop" | "suspended" | "blocked" | "deadlock" | "stuck";

/** What passes, and is no sickness: no core for a while, a wait in the kernel for a disk, a store that is slow. */
export type Strain = "starved" | "in kernel" | "slow";

/** What the policy limits. */
export type Excessive = Extract<FaultKind, "memory" | "files" | "lag">;

export interface Excess {
  readonly chance: number;
  readonly of: Excessive;
}

/** How an incarnation ends that touches poison. */
export type PoisonEffect = "crash" | Hang;

/** What the drivers of a world may suffer from, beyond dying and refusing. Chances are per submission executed. */
export interface Sickness {
  readonly hang: number;
  readonly hangs: readonly [Hang, ...Hang[]];
  readonly strain: number;
  readonly strains: readonly [Strain, ...Strain[]];
  /** What it takes too much of, from some time on until its end, if there is a limit. */
  readonly excess: Excess | undefined;
  /** What its link tells of it. */
  readonly signs: { readonly beats: boolean; readonly vitals: boolean };
  /** What its deaths look like from outside. */
  readonly deaths: readonly [FaultKind, ...FaultKind[]];
  readonly poison: Poison | undefined;
  readonly lies: LiesProfile | undefined;
  /** Whether reads are verified, lies or not. */
  readonly verifies: boolean;
  readonly newcomer: Newcomer | undefined;
  readonly fallback: Fallback | undefined;
  /** Whether an operator does something meanwhile, beside upgrades. */
  readonly operator: boolean;
  readonly policy: Partial<Policy>;
}

/** Sectors that kill whoever executes one of these operations on them, from some time on until the faults end. */
export interface Poison {
  readonly first: number;
  readonly count: number;
  /** With "flush", every flush kills. */
  readonly deadly: readonly Operation[];
  readonly effect: PoisonEffect;
  /**
   * Milliseconds from the beginning. If it isn't there from the start, the incarnation of that moment dies of its coming; what was
   * written before, and isn't durable, kills when it is replayed.
   */
  readonly from: number;
  /** Whether the fallback driver dies of it, too. */
  readonly forAll: boolean;
}

/**
 * Lies about what is in the store, which the device has to find out by digests. A lie about a read is told once, or, with the chance
 * `standing`, at each read of the sector until it is written.
 */
export interface LiesProfile {
  readonly read: number;
  readonly standing: number;
  readonly write: number;
}

/**
 * Who is to take over in an upgrade.
 * - "liar": acknowledges flushes and makes nothing durable. It dies before its probation is over.
 * - "foreign": serves another store. "small": its store is too small. "large": it has made the store larger.
 */
export interface Newcomer {
  readonly character: "good" | "fails to open" | "dies" | "hangs" | "liar" | "foreign" | "small" | "large";
  /** Until it is ready; `undefined` where it can't be made ready. */
  readonly readyMs: number | undefined;
  readonly sameFeatures: boolean;
  readonly times: number;
}

/** A driver that has nothing but read, write and flush. */
export interface Fallback {
  /** It dies as often as the first one. */
  readonly mortal: boolean;
}

export const HEALTHY: Sickness = {
  hang: 0,
  hangs: ["deadlock"],
  strain: 0,
  strains: ["starved"],
  excess: undefined,
  signs: { beats: true, vitals: true },
  deaths: ["signal"],
  poison: undefined,
  lies: undefined,
  verifies: false,
  newcomer: undefined,
  fallback: undefined,
  operator: false,
  policy: {},
};
