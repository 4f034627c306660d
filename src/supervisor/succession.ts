import type { FaultKind } from "../block/fault.ts";
import type { Device } from "../shadow/device.ts";
import type { Clock, DriverRef } from "../shadow/ports.ts";
import type { Policy } from "./policy.ts";
import { Upgrade, type UpgradeObserver } from "./upgrade.ts";

/** Who may serve a device. */
export interface Drivers {
  readonly first: DriverRef;
  /** For the same store: another version, or a slow and simple one. */
  readonly fallback?: DriverRef | undefined;
}

export interface SuccessionPorts {
  readonly drivers: Drivers;
  readonly device: Device;
  readonly clock: Clock;
  readonly policy: Policy;
  /** Another driver is next, or has come to stay. */
  changed(change: "fallback" | "rollback" | "upgraded", reason: string): void;
}

/** Which driver serves a device, and which one does next: the first, its fallback, or the newcomer of an upgrade. */
export class Succession {
  readonly #ports: SuccessionPorts;
  /** The one that is meant to serve. */
  #first: DriverRef;
  #driver: DriverRef;
  #upgrade: Upgrade | undefined;
  /** Why the fallback is to take over. */
  #fallbackReason: string | undefined;

  constructor(ports: SuccessionPorts) {
    this.#ports = ports;
    this.#first = ports.drivers.first;
    this.#driver = ports.drivers.first;
  }

  /** Who serves, or will next. */
  get driver(): DriverRef {
    return this.#driver;
  }

  get upgrade(): Upgrade | undefined {
    return this.#upgrade;
  }

  /** Whether there is another driver to fall back to: from a newcomer, the one before it. */
  get hasFallback(): boolean {
    const { fallback } = this.#ports.drivers;
    return this.#isNewcomer || (fallback !== undefined && this.#driver !== fallback);
  }

  /** The operator wants the one that is meant to serve. */
  reinstate(): void {
    if (this.#upgrade === undefined) this.#driver = this.#first;
    else if (this.#upgrade.stage === "on probation") this.#upgrade.failed("taken back by the operator");
  }

  /** The fallback takes over when the incarnation is reaped. */
  fallBack(reason: string): void {
    if (this.#isNewcomer) this.#upgrade?.failed(reason);
    else this.#fallbackReason = reason;
  }

  begin(to: DriverRef, observer: UpgradeObserver): Upgrade {
    const { clock, policy } = this.#ports;
    this.#upgrade = new Upgrade(this.#driver, to, clock, policy, {
      serving: (epoch, stallMs) => observer.serving(epoch, stallMs),
      ended: (outcome) => {
        this.#upgrade = undefined;
        observer.ended(outcome);
      },
    });
    return this.#upgrade;
  }

  /** The incarnation is lost. A newcomer has had its chance, unless it was the operator's doing. */
  lost(kind: FaultKind, reason: string): void {
    if (this.#isNewcomer && kind !== "operator") this.#upgrade?.failed(reason);
  }

  /** The incarnation is reaped. Whether another driver than the one before is next. `stopping`: no newcomer is given a chance. */
  next(stopping: boolean): boolean {
    const upgrade = this.#upgrade;
    const reason = this.#fallbackReason;
    this.#fallbackReason = undefined;
    const { device, drivers } = this.#ports;
    if (upgrade?.stage === "handing over" && this.#driver === upgrade.from && !stopping) {
      this.#driver = upgrade.to;
      device.doubt();
      return true;
    }
    if (upgrade?.stage === "rolling back" && this.#driver === upgrade.to) {
      this.#driver = upgrade.from;
      device.believe();
      this.#ports.changed("rollback", upgrade.failure);
      return true;
    }
    if (reason === undefined || drivers.fallback === undefined) return false;
    this.#driver = drivers.fallback;
    this.#ports.changed("fallback", reason);
    return true;
  }

  live(epoch: number): void {
    if (this.#upgrade?.stage === "rolling back") this.#upgrade.rolledBack(epoch);
    else if (this.#isNewcomer) this.#upgrade?.live(epoch, () => this.#passed());
  }

  /** It has answered so many submissions since it opened. */
  completed(count: number): void {
    if (this.#isNewcomer && this.#upgrade?.hasProved(count) === true) this.#passed();
  }

  /** Neither the newcomer nor the driver before it serves. */
  failed(epoch: number): void {
    if (this.#upgrade?.stage === "rolling back") this.#upgrade.rolledBack(epoch);
  }

  /** Whether the newcomer of an upgrade serves, or is to. */
  get #isNewcomer(): boolean {
    const { stage, to } = this.#upgrade ?? {};
    return (stage === "handing over" || stage === "on probation") && this.#driver === to;
  }

  /** The newcomer has been on probation for long enough. */
  #passed(): void {
    const upgrade = this.#upgrade;
    if (upgrade?.stage !== "on probation") return;
    this.#first = upgrade.to;
    this.#ports.device.adopt();
    this.#ports.changed("upgraded", `${upgrade.to.kind} has proved itself`);
    upgrade.passed();
  }
}
