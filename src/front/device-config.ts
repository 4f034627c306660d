import type { ArenaLimits } from "../link/shared-arenas.ts";
import type { DeviceLimits } from "../shadow/limits.ts";
import type { Policy } from "../supervisor/policy.ts";
import type { HealthConfig } from "./health-check.ts";
import type { HomeSpec } from "./home-spec.ts";
import type { HookConfig } from "./hook.ts";
import type { DeviceSpec } from "./spec.ts";
import type { Tap } from "./tap.ts";

/** Where a driver runs: in a process of its own, or in the front's, where nothing protects the front from it. */
export type LinkKind = "process" | "inline";

/** A device as it is wanted. What is left out has its default. */
export interface DeviceConfig {
  readonly name: string;
  readonly spec: DeviceSpec;
  readonly link?: LinkKind;
  /** What serves where restarts of the driver don't help: for the same store. */
  readonly fallback?: DeviceSpec;
  /** Whether a spare driver host stands ready to open the store. */
  readonly standby?: boolean;
  /** Whether what is read is compared with what was written. */
  readonly verify?: "digests";
  /** Where the shadow lives: in the front's memory if left out. */
  readonly home?: HomeSpec;
  /** A command that is run for each decision. */
  readonly hook?: HookConfig;
  readonly health?: HealthConfig;
  /** Clients may not write, even though the driver could. */
  readonly readOnly?: boolean;
  /** Whether its store is locked against no other front: see {@link StoreClaim}. */
  readonly shared?: boolean;
  readonly limits?: Partial<DeviceLimits & ArenaLimits>;
  readonly policy?: Partial<Policy>;
  /** False switches the shadow off: what a lost incarnation had not made durable is gone. To show what that means. */
  readonly retains?: boolean;
  /** What passes it is recorded. */
  readonly tap?: Tap;
}
