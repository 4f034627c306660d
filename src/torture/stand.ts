import type { Detection } from "./plan.ts";

/** A device of its own under the same front, with a store of its own. */
export interface Neighbour {
  readonly uri: string;
  victim(): number | undefined;
}

/**
 * What a trial's load talks to: a target with whatever stands in front of it and brings it back. Made anew for each trial, with a
 * store that is all zeroes.
 */
export interface Stand {
  /** Where the load connects. */
  readonly uri: string;
  /** Whether clients have to connect again by themselves. */
  readonly reconnects: boolean;
  /** The process that stores, for kills and stops; `undefined` while there is none. */
  victim(): number | undefined;
  /** Calls back with each new process that stores, the first one too, as early as it is known. */
  onVictim(callback: (pid: number) => void): void;
  /** Devices beside it, where "kill-all" is to strike: loaded and judged as it is. All that is said of the stand is said of them, too. */
  readonly neighbours: readonly Neighbour[];
  /** What has been noticed so far. */
  findings(): Findings;
  /** Resolves when it serves again, or rejects when it never will: within a time of its own. Faults are over by then. */
  settled(): Promise<void>;
  /** Ends all of it, and leaves nothing behind. Resolves in any case, after force where order takes too long. */
  end(): Promise<void>;
}

export interface Findings {
  readonly detections: readonly Detection[];
  readonly restarts: number;
  readonly state: string;
  /** CPU time in milliseconds of the processes that store, dead ones included; undefined where it can't be known. */
  readonly driverCpuMs: number | undefined;
  readonly frontCpuMs: number | undefined;
  /** What the stand itself has done that it never should, one line. */
  readonly incident?: string;
}
