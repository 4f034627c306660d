import type { Operation } from "./ports.ts";

/**
 * What is with the driver and for how long, as the judge of hangs sees it. Its time is the judge's: milliseconds that
 * only pass while the front itself gets to run, and the driver too where it is watched closely. It passes in steps, so
 * that stamping a submission costs no clock.
 */
export interface InFlight {
  /** The judge's time. The judge sets it. */
  now: number;
  /** Submissions of this incarnation that have completed. */
  readonly completed: number;
  readonly outstanding: number;
  /** What is out is going to fail for good if this incarnation is found to hang: it should be quite sure. */
  readonly lastChance: boolean;
  /** Calls `visit` for each submission that is out, with the time when it was submitted. */
  each(visit: (operation: Operation, since: number) => void): void;
  /** The longest that one took of those that have completed since this was last asked; `undefined` if none has. */
  takeSlowest(operation: Operation): number | undefined;
}
