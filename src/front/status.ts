import type { FaultKind } from "../block/fault.ts";
import type { DeviceCounters } from "../shadow/counters.ts";
import type { Recovery } from "../supervisor/recovery.ts";
import type { DeviceState } from "../supervisor/supervisor.ts";

/** What `skink status --json` prints. Sizes in bytes, times in milliseconds. */
export interface FrontStatus {
  /** Of the front's process; where a guard keeps it running, the next one has another. */
  readonly pid: number;
  readonly devices: readonly DeviceStatus[];
}

export interface DeviceStatus {
  readonly name: string;
  readonly uri: string;
  /** 0 until the first incarnation has opened. */
  readonly size: number;
  readonly state: DeviceState;
  /** Why the state isn't `live`, where there is something to say. */
  readonly reason?: string;
  readonly epoch: number;
  /** `pid` is null while there is no process, and over an inline link. */
  readonly driver: { readonly kind: string; readonly pid: number | null };
  readonly restarts: number;
  readonly shadow: { readonly pieces: number; readonly bytes: number; readonly limitBytes: number };
  /** Where the shadow lives: "memory", "shm", "disk:/var/lib/disk.log". */
  readonly home: string;
  /** The newest ones, oldest first. */
  readonly recoveries: readonly Recovery[];
  /** `faults`: how often each kind was found (docs/faults.md). */
  readonly counters: DeviceCounters & { readonly faults: Readonly<Record<FaultKind, number>> };
}
