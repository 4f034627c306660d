import type { FaultKind } from "../block/fault.ts";
import type { IncarnationEvents } from "../shadow/ports.ts";
import type { HostMessage } from "./control.ts";

/** Who keeps a host that is no incarnation yet. Hears nothing any more once it is opened. */
export interface SpareKeeper {
  /** The driver is loaded. */
  ready(): void;
  /** The process is gone. `why`: one line. */
  gone(why: string): void;
}

/** What its owner does for a host that is an incarnation, apart from listening to its events. */
export interface HostOwner {
  readonly events: IncarnationEvents;
  /** Takes over the files that the host has made. Throws where one is not what the host says. */
  take(pid: number, message: HostMessage & { type: "opened" }): void;
  openFailed(epoch: number, message: string): void;
  /** It was a spare, and the driver's files are not what it loaded. It ends; its store was never open. Nothing else is heard. */
  stale(epoch: number): void;
  /** It is gone: the last that is heard of it. */
  exited(epoch: number, kind: FaultKind, how: string): void;
}
