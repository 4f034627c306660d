import type { FaultKind } from "../block/fault.ts";
import type { LieCure } from "../shadow/verifier.ts";
import type { Recovery } from "./recovery.ts";

/**
 * What happened to a device and what was decided about it, each with its reason: one line for people. `epoch`: of the
 * incarnation that it is about; `driver`: which one that runs. Offsets and lengths in bytes, times in milliseconds.
 */
export type DeviceEvent = { readonly epoch: number; readonly driver: string; readonly reason: string } & (
  | { readonly type: "live"; readonly recovery: Recovery | undefined }
  /** The incarnation is given up. */
  | { readonly type: "fault"; readonly fault: FaultKind }
  | { readonly type: "reaped" }
  /** Another incarnation, of this epoch, is started after so long. */
  | { readonly type: "restart"; readonly delayMs: number }
  /** From here on another driver serves. */
  | { readonly type: "fallback" }
  | { readonly type: "read-only" }
  | { readonly type: "held" }
  | { readonly type: "failed" }
  /** So many requests and pieces were with two incarnations when they died: they are tried alone. */
  | { readonly type: "suspects"; readonly count: number }
  /** One of them kills: it is refused, or, if it was acknowledged, served from the shadow. */
  | {
      readonly type: "convicted";
      readonly operation: string;
      readonly offset: number;
      readonly length: number;
      readonly acknowledged: boolean;
    }
  /** A read found other data than was written. `cure`: what is done about it. */
  | {
      readonly type: "lie";
      readonly offset: number;
      readonly length: number;
      readonly cure: LieCure;
    }
  | { readonly type: "upgrade" }
  /** The newcomer has proved itself. */
  | { readonly type: "upgraded" }
  | { readonly type: "rollback" }
  | { readonly type: "stopped"; readonly clean: boolean }
);
