import type { FaultKind } from "../block/fault.ts";
import type { Operation } from "../shadow/ports.ts";
import type { Policy } from "../supervisor/policy.ts";
import type { SeededRandom } from "./random.ts";

/**
 * How an incarnation hangs, until it is killed.
 * - "loop": its event loop is busy for ever. "suspended": as by SIGSTOP. "blocked": in a call that doesn't return.
 * - "deadlock": its event loop turns, and nothing is executed any more. "stuck": one submission never completes.
 */
export type Hang = "loop" | "suspended" | "blocked" | "deadlock" | "stuck";

/** What passes, and is no sickness: no core for a while, a wait in the kernel for a disk, a store that is slow. */
export type Strain = "starved" | "in kernel" | "slow";

/** How an incarnation ends that touches poison. */
export type PoisonEffect = "crash" | Hang;

/** What the drivers of a world may suffer from, beyond dying and refusing. Chances are per submission executed. */
export interface Sickness {
  readonly hang: number;
  readonly hangs: readonly [Hang, ...Hang[]];
  readonly strain: number;
  readonly strains: readonly [Strain, ...Strain[]];
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
 * - "foreign": serves another store. "small": its store is too small.
 */
export interface Newcomer {
  readonly character: "good" | "fails to open" | "dies" | "hangs" | "liar" | "foreign" | "small";
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

const THEMES = ["hang", "strain", "poison", "poison", "lie", "fallback", "upgrade", "upgrade"] as const;
export type Theme = (typeof THEMES)[number];

/** A world has one of them, or two, or none: all at once would hide each other. */
export function drawThemes(random: SeededRandom): ReadonlySet<Theme> {
  if (random.chance(0.3)) return new Set();
  const themes = new Set([random.pick(THEMES)]);
  if (random.chance(0.25)) themes.add(random.pick(THEMES));
  // Of what else may have failed nobody knows what it is, so nobody can lie about it.
  return themes.has("lie") && themes.has("poison") ? new Set<Theme>(["lie"]) : themes;
}

/** Where a client is at work. */
interface Window {
  readonly windowFirst: number;
  readonly windowSectors: number;
}

export function drawSickness(random: SeededRandom, themes: ReadonlySet<Theme>, window: Window): Sickness {
  const draw = <T>(theme: Theme, make: () => T): T | undefined => (themes.has(theme) ? make() : undefined);
  const newcomer = draw("upgrade", () => drawNewcomer(random));
  const signs = drawSigns(random);
  return {
    hang: draw("hang", () => random.pick([0.002, 0.005])) ?? 0,
    hangs: random.pick<Sickness["hangs"]>([["loop"], ["suspended"], ["blocked"], ["deadlock"], ["stuck"], ALL_HANGS]),
    strain: draw("strain", () => random.pick([0.005, 0.02])) ?? 0,
    // Who gives no account of himself can't be excused for what doesn't show in anything else.
    strains: signs.vitals
      ? random.pick<Sickness["strains"]>([["starved"], ["in kernel"], ["slow"], ["starved", "slow"]])
      : ["slow"],
    signs,
    deaths: random.pick<Sickness["deaths"]>([
      ["signal"],
      ["killed"],
      ["exit", "exception"],
      ["signal", "killed", "rejection"],
    ]),
    poison: draw("poison", () => drawPoison(random, window)),
    lies: draw("lie", () => ({
      read: random.pick([0, 0.01, 0.05]),
      standing: random.pick([0, 0.5]),
      write: random.pick([0, 0.01, 0.03]),
    })),
    verifies: themes.has("lie") || random.chance(0.2),
    newcomer,
    fallback: draw("fallback", () => ({ mortal: random.chance(0.4) })),
    operator: random.chance(0.3),
    policy: {
      ...draw("fallback", () => ({
        restartBudget: random.between(1, 4),
        exhausted: random.pick(["held", "failed", "read-only"] as const),
        poison: random.pick(["error", "fallback"] as const),
      })),
      ...draw("upgrade", () => ({
        // Its requests must not be what proves a liar, who lives by the clock.
        probationRequests: newcomer?.character === "liar" ? Number.MAX_SAFE_INTEGER : random.between(10, 200),
        probationMs: random.between(50, 2000),
      })),
    },
  };
}

/** Those who take over and fail later are the most instructive ones. */
const NEWCOMERS = [
  ...(["good", "good", "good", "dies", "dies", "dies"] as const),
  ...(["hangs", "liar", "liar", "fails to open", "foreign", "small"] as const),
] as const;
const ALL_HANGS = ["loop", "suspended", "blocked", "deadlock", "stuck"] as const;

function drawSigns(random: SeededRandom): Sickness["signs"] {
  if (random.chance(0.7)) return { beats: true, vitals: true };
  return { beats: false, vitals: random.chance(0.5) };
}

function drawPoison(random: SeededRandom, window: Window): Poison {
  const count = random.pick([1, 1, 2, 6]);
  return {
    first: window.windowFirst + random.below(window.windowSectors - count + 1),
    count,
    deadly: random.pick<readonly Operation[]>([
      ["read", "write", "zero", "trim", "extents"],
      ["write", "zero"],
      ["write"],
      ["read"],
      ["read"],
      ["zero", "trim"],
      ["flush"],
      ["flush"],
    ]),
    effect: random.chance(0.75) ? "crash" : random.pick(ALL_HANGS),
    from: random.pick([0, random.between(55, 120), random.between(55, 120), random.between(55, 400)]),
    forAll: random.chance(0.5),
  };
}

function drawNewcomer(random: SeededRandom): Newcomer {
  return {
    character: random.pick(NEWCOMERS),
    readyMs: random.chance(0.1) ? undefined : random.pick([0, 5, 300]),
    sameFeatures: random.chance(0.5),
    times: random.pick([1, 1, 2, 3]),
  };
}
