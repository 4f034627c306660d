import type { SeededRandom } from "../block/random.ts";
import type { Operation } from "../shadow/ports.ts";
import type { Policy } from "../supervisor/policy.ts";
import type { Excess, Newcomer, Poison, Sickness } from "./sickness.ts";
import type { Feature, Swarm } from "./swarm.ts";

/** What drivers take that are well is far below this (see sim-process.ts). */
const EXCESS_LIMITS = { maxResidentBytes: 200 << 20, maxOpenFiles: 100, maxLagMs: 400 } as const;

/** Where a client is at work. */
interface Window {
  readonly windowFirst: number;
  readonly windowSectors: number;
}

export function drawSickness(random: SeededRandom, swarm: Swarm, window: Window): Sickness {
  const draw = <T>(feature: Feature, make: () => T): T | undefined => (swarm.has(feature) ? make() : undefined);
  const newcomer = draw("upgrades", () => drawNewcomer(random));
  const signs = drawSigns(random);
  const poison = draw("poison", () => drawPoison(random, window));
  const excess = draw("excess", () => drawExcess(random));
  return {
    hang: draw("hangs", () => random.pick([0.002, 0.005])) ?? 0,
    hangs: random.pick<Sickness["hangs"]>([["loop"], ["suspended"], ["blocked"], ["deadlock"], ["stuck"], ALL_HANGS]),
    strain: draw("strain", () => random.pick([0.005, 0.02])) ?? 0,
    // Who gives no account of himself can't be excused for what doesn't show in anything else.
    strains: signs.vitals
      ? random.pick<Sickness["strains"]>([["starved"], ["in kernel"], ["slow"], ["starved", "slow"]])
      : ["slow"],
    excess,
    signs,
    deaths: random.pick<Sickness["deaths"]>([
      ["signal"],
      ["killed"],
      ["exit", "exception"],
      ["signal", "killed", "rejection"],
    ]),
    poison,
    lies: draw("lies", () => ({
      read: random.pick([0, 0.01, 0.05]),
      standing: random.pick([0, 0.5]),
      write: random.pick([0, 0.01, 0.03]),
    })),
    verifies: swarm.has("lies") || swarm.has("verify"),
    newcomer,
    fallback: draw("fallback", () => ({ mortal: random.chance(0.4) })),
    operator: swarm.has("operator"),
    policy: {
      ...draw("fallback", () => ({
        restartBudget: random.between(1, 4),
        exhausted: random.pick(["held", "failed", "read-only"] as const),
        poison: random.pick(["error", "fallback"] as const),
      })),
      ...draw("upgrades", () => ({
        // Its requests must not be what proves a liar, who lives by the clock.
        probationRequests: newcomer?.character === "liar" ? Number.MAX_SAFE_INTEGER : random.between(10, 200),
        probationMs: random.between(50, 2000),
      })),
      ...(excess === undefined ? {} : EXCESS_LIMITS),
      // Where it takes long to find out who kills, others must not run out of time.
      ...(poison === undefined ? draw("impatient policies", () => drawImpatience(random)) : {}),
    },
  };
}

/** Those who take over and fail later are the most instructive ones. */
const NEWCOMERS = [
  ...(["good", "good", "good", "dies", "dies", "dies"] as const),
  ...(["hangs", "liar", "liar", "fails to open", "foreign", "small", "large"] as const),
] as const;
const ALL_HANGS = ["loop", "suspended", "blocked", "deadlock", "stuck"] as const;

function drawSigns(random: SeededRandom): Sickness["signs"] {
  if (random.chance(0.7)) return { beats: true, vitals: true };
  return { beats: false, vitals: random.chance(0.5) };
}

function drawExcess(random: SeededRandom): Excess {
  return { chance: random.pick([0.02, 0.1]), of: random.pick(["memory", "files", "lag"] as const) };
}

function drawImpatience(random: SeededRandom): Partial<Policy> {
  return {
    openTimeoutMs: random.pick([200, 2000]),
    reapTimeoutMs: random.pick([100, 2000]),
    heldTimeoutMs: random.pick([10_000, 60_000]),
    restartDelayMs: random.pick([1, 1000]),
    maxRestartDelayMs: random.pick([1000, 10_000]),
  };
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
