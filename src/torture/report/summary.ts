import { type Campaign, OUTCOMES, type Outcome, type Persistence, type Tier, type TrialResult } from "../plan.ts";
import { type Distribution, distributionOf } from "./distribution.ts";

const TIERS: readonly Tier[] = ["code", "wire", "process"];
const PERSISTENCES: readonly Persistence[] = ["transient", "persistent"];

/** Trials of one kind of fault, of one tier, or all of them. */
export interface Group {
  /** "all", "code", "inverted-condition". */
  readonly name: string;
  readonly level: "all" | "tier" | "kind";
  readonly trials: number;
  /** How many of the faults are known to have struck. */
  readonly struck: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
}

/** What came of the faults of one persistence. */
export interface OutcomeTable {
  readonly persistence: Persistence;
  /** All of them, then each tier with its kinds behind it. */
  readonly groups: readonly Group[];
}

/** Milliseconds of the faults of one tier, or of all of them. */
export interface Times {
  readonly name: string;
  /** From the strike, where its time is known, to the detection. */
  readonly detection: Distribution;
  /** From a detection until the device was live again, where it was. */
  readonly recovery: Distribution;
  /** The longest time without any completion, one a trial. */
  readonly stall: Distribution;
}

/** What the work cost; `undefined` where nobody knows. */
export interface Cost {
  /** Requests answered in a second of load, one value a trial. */
  readonly requestsPerSecond: Distribution;
  /** Microseconds of CPU time for each request, over all trials in which they are known. */
  readonly frontCpuUs: number | undefined;
  readonly driverCpuUs: number | undefined;
}

/** All that the reports say in figures. */
export interface Summary {
  readonly all: Group;
  readonly tables: readonly OutcomeTable[];
  /** All of them, then each tier. */
  readonly times: readonly Times[];
  readonly cost: Cost;
  readonly bad: readonly TrialResult[];
}

export function summaryOf({ trials }: Campaign): Summary {
  const tiers = TIERS.filter((tier) => trials.some(({ plan }) => plan.fault.tier === tier));
  return {
    all: groupOf("all", "all", trials),
    tables: PERSISTENCES.flatMap((persistence) => {
      const own = trials.filter(({ plan }) => plan.fault.persistence === persistence);
      return own.length === 0 ? [] : [{ persistence, groups: groupsOf(own) }];
    }),
    times: [
      timesOf("all", trials),
      ...tiers.map((tier) =>
        timesOf(
          tier,
          trials.filter(({ plan }) => plan.fault.tier === tier),
        ),
      ),
    ],
    cost: costOf(trials),
    bad: trials.filter(isBad),
  };
}

/** What nobody may accept, whatever the driver did. */
export function isBad({ outcome, incident }: TrialResult): boolean {
  return outcome === "silent" || outcome === "hang" || incident !== undefined;
}

function groupsOf(trials: readonly TrialResult[]): Group[] {
  return [
    groupOf("all", "all", trials),
    ...TIERS.flatMap((tier) => {
      const ofTier = trials.filter(({ plan }) => plan.fault.tier === tier);
      if (ofTier.length === 0) return [];
      const kinds = Map.groupBy(ofTier, ({ plan }) => plan.fault.kind);
      const ofKinds = [...kinds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, own]) => groupOf(kind, "kind", own));
      return [groupOf(tier, "tier", ofTier), ...ofKinds];
    }),
  ];
}

function groupOf(name: string, level: Group["level"], trials: readonly TrialResult[]): Group {
  const outcomes = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
  let struck = 0;
  for (const trial of trials) {
    outcomes[trial.outcome]++;
    if (trial.struck) struck++;
  }
  return { name, level, trials: trials.length, struck, outcomes };
}

function timesOf(name: string, trials: readonly TrialResult[]): Times {
  const detections = trials.flatMap((trial) => trial.detections);
  return {
    name,
    detection: distributionOf(known(detections.map(({ detectMs }) => detectMs))),
    recovery: distributionOf(known(detections.map(({ recoverMs }) => recoverMs))),
    stall: distributionOf(trials.map(({ stallMs }) => stallMs)),
  };
}

function costOf(trials: readonly TrialResult[]): Cost {
  const loaded = trials.filter(({ loadMs, requests }) => loadMs > 0 && requests > 0);
  return {
    requestsPerSecond: distributionOf(loaded.map(({ requests, loadMs }) => (requests * 1000) / loadMs)),
    frontCpuUs: perRequestUs(loaded, ({ frontCpuMs }) => frontCpuMs),
    driverCpuUs: perRequestUs(loaded, ({ driverCpuMs }) => driverCpuMs),
  };
}

function perRequestUs(
  trials: readonly TrialResult[],
  cpuMsOf: (trial: TrialResult) => number | undefined,
): number | undefined {
  let cpuMs = 0;
  let requests = 0;
  for (const trial of trials) {
    const own = cpuMsOf(trial);
    if (own === undefined) continue;
    cpuMs += own;
    requests += trial.requests;
  }
  return requests === 0 ? undefined : (cpuMs * 1000) / requests;
}

function known(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined);
}
