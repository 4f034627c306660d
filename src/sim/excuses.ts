import { ERRNO } from "../block/errors.ts";
import { isWriter } from "../block/request.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import type { Court } from "./court.ts";
import { describe, type Entry, type History } from "./history.ts";
import type { Lies } from "./lies.ts";
import { Violation } from "./violation.ts";

export interface ExcusesPorts {
  readonly history: History;
  readonly court: Court;
  readonly lies: Lies | undefined;
  /** Why the device is degraded. */
  trouble(): string | undefined;
}

/** Why requests may fail: they fail for a reason, or not at all. */
export class Excuses {
  readonly #ports: ExcusesPorts;
  /** Something happened for which any request may fail: a refusal by the driver, or the device has said why it refuses. */
  #any = false;
  #anyBefore = false;
  /** When the device was last seen to be degraded, in the history's order of events. */
  #troubleAt = -1;

  constructor(ports: ExcusesPorts) {
    this.#ports = ports;
  }

  /** The driver is about to fail something on purpose. */
  refuses(): void {
    this.#any = true;
  }

  /** The device says on this level why it will refuse requests. */
  errorLogged(): void {
    this.#anyBefore = this.#any;
    this.#any = true;
  }

  event(event: DeviceEvent): void {
    if (event.type !== "convicted") return;
    // That was logged, too, and is a reason for the convict alone, and for flushes while it is held.
    this.#any = this.#anyBefore;
    if (event.acknowledged) this.#troubleAt = this.#ports.history.events;
  }

  /** From here on whatever fails has no excuse. */
  forget(): void {
    this.#any = false;
    this.#troubleAt = -1;
  }

  /** Looks whether the device is degraded: at each request that comes, and at each answer. */
  look(): void {
    if (this.#ports.court.holdsPieces && this.#ports.trouble() !== undefined)
      this.#troubleAt = this.#ports.history.events;
  }

  check(entry: Entry, errno: number): void {
    if (entry.kind === "zero" && entry.fast && errno === ERRNO.ENOTSUP) return;
    if (this.#any || this.#ports.court.excuses(entry, errno)) return;
    if (errno === ERRNO.EIO && this.#ports.lies?.excuses(entry) === true) return;
    const isFlush = entry.kind === "flush" || (isWriter(entry.kind) && entry.fua);
    if (isFlush && errno === ERRNO.EIO && this.#troubleAt >= entry.arrivedAt) return;
    throw new Violation("errors", `${describe(entry)} failed with ${errno} for no reason`, entry.first);
  }
}
