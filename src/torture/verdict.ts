import type { Outcome, Tier } from "./plan.ts";

/** What is known of a trial at its end. */
export interface Evidence {
  readonly tier: Tier;
  /** For the code tier: that the changed code was run, whether or not it did anything else than before. */
  readonly struck: boolean;
  /** Requests, or the trial's end, did not come within their bounds. */
  readonly hung: boolean;
  /** Sectors that held what they should not have. */
  readonly wrong: number;
  /** Requests that were answered with an error. */
  readonly errors: number;
  /** How often something was noticed, and how often the driver was restarted for it. */
  readonly detections: number;
  readonly restarts: number;
  /** Whether clients are served at the end. */
  readonly serves: boolean;
}

/** The first row that holds decides. So what is worse stands above: a wrong answer is worse than none. */
const TABLE: readonly (readonly [Outcome, (evidence: Evidence) => boolean])[] = [
  ["silent", ({ wrong }) => wrong > 0],
  ["hang", ({ hung }) => hung],
  ["failed honestly", ({ errors, serves }) => errors > 0 || !serves],
  ["recovered", ({ restarts }) => restarts > 0],
  // Noticed, and mended without a restart: a lie that the shadow could put right.
  ["masked", ({ detections }) => detections > 0],
  // Code that was run may have done what it did before; of the other faults it is known that they changed something.
  ["masked", ({ struck, tier }) => struck && tier !== "code"],
];

/** What came of a trial. */
export function verdict(evidence: Evidence): Outcome {
  return TABLE.find(([, holds]) => holds(evidence))?.[0] ?? "no effect";
}
