import type { SeededRandom } from "../block/random.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import type { UpgradeOutcome } from "../supervisor/upgrade.ts";
import type { VirtualClock } from "./clock.ts";
import type { DriverKind } from "./driver-kind.ts";
import type { Fates, Fault } from "./fates.ts";
import { Violation } from "./violation.ts";

/** When something is done, in milliseconds from now. */
const WITHIN_MS = 1000;

export interface OperatorPorts {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly fates: Fates;
  /** A turn of the front that lives; nothing happens where there is none. */
  enter(work: (supervisor: Supervisor) => void): void;
  /** Off: nothing is done any more. */
  faults(): boolean;
  /** An upgrade is asked for. */
  upgrades(): void;
}

/** What an operator does to a device, and what becomes of it. */
export class Operator {
  /** Upgrades that ended, by how they did. */
  readonly upgrades: Record<UpgradeOutcome["outcome"], number> = { upgraded: 0, "rolled back": 0, refused: 0 };
  readonly #ports: OperatorPorts;
  #upgrade: { readonly from: string; readonly to: string } | undefined;
  /** Since when the newcomer serves, on probation. */
  #servingAt: number | undefined;
  /** The fallback driver serves: nobody else may until the operator says so. */
  #fallenBackTo: string | undefined;

  constructor(ports: OperatorPorts) {
    this.#ports = ports;
  }

  /** An upgrade is under way. */
  get upgrading(): boolean {
    return this.#upgrade !== undefined;
  }

  /** How long a newcomer has left that must not outlive so long a probation. */
  leftOf(ms: number): number {
    const { clock } = this.#ports;
    return (this.#servingAt ?? clock.now()) + ms - clock.now();
  }

  /** Restarts, kills and a health check that fails, at some times to come. */
  plan(): void {
    const { random, enter } = this.#ports;
    for (let i = random.between(1, 3); i > 0; i--) {
      const act = random.pick(["restart", "restart", "kill", "health"]);
      this.#soon("act of the operator", () => {
        if (act === "restart") this.restart();
        else if (act === "kill") enter((supervisor) => supervisor.kill());
        else enter((supervisor) => supervisor.sick(supervisor.epoch, "its own check failed"));
      });
    }
  }

  planUpgrades(to: DriverKind, times: number): void {
    for (let i = 0; i < times; i++) this.#soon("upgrade", () => this.upgrade(to));
  }

  planUpgradeAfter(ms: number, to: DriverKind): void {
    this.#ports.clock.after(ms, () => this.upgrade(to));
  }

  restart(): void {
    this.#ports.enter((supervisor) => {
      if (supervisor.restart()) this.#fallenBackTo = undefined;
    });
  }

  upgrade(to: DriverKind): void {
    this.#ports.enter((supervisor) => this.#begin(supervisor, to));
  }

  /** `handsOver`: for another front. */
  stop(handsOver = false): void {
    this.#ports.enter((supervisor) => supervisor.stop({ handsOver }));
  }

  /** The front that knew of all this is dead: the next one begins with the first driver again. */
  frontDied(): void {
    this.#upgrade = undefined;
    this.#servingAt = undefined;
    this.#fallenBackTo = undefined;
  }

  #begin(supervisor: Supervisor, to: DriverKind): void {
    const { clock } = this.#ports;
    this.#ports.upgrades();
    const from = supervisor.driver.kind;
    const started = supervisor.upgrade(to, {
      serving: () => {
        this.#servingAt = clock.now();
      },
      ended: (outcome) => this.#ended(outcome, supervisor.driver.kind),
    });
    if (!started) return;
    if (this.#upgrade !== undefined) throw new Violation("core", "an upgrade begins while another one is under way");
    this.#upgrade = { from, to: to.kind };
    this.#servingAt = undefined;
  }

  /** What the supervisor tells of itself has to be in keeping with what it was told. */
  event(event: DeviceEvent): void {
    if (event.type === "fallback") this.#fallenBackTo = event.driver;
    if (event.type === "upgrade") this.#fallenBackTo = undefined;
    if (event.type === "live" && this.#fallenBackTo !== undefined && event.driver !== this.#fallenBackTo) {
      throw new Violation("core", `${event.driver} serves, and ${this.#fallenBackTo} had taken over`);
    }
  }

  /** `serves`: who serves now. */
  #ended({ outcome }: UpgradeOutcome, serves: string): void {
    const upgrade = this.#upgrade;
    if (upgrade === undefined) throw new Violation("core", `an upgrade ended (${outcome}) that was not under way`);
    this.#upgrade = undefined;
    this.upgrades[outcome]++;
    if (outcome === "upgraded" && serves !== upgrade.to) {
      throw new Violation("core", `${serves} serves after an upgrade to ${upgrade.to}`);
    }
    if (outcome === "rolled back" && serves === upgrade.to && upgrade.from !== upgrade.to) {
      throw new Violation("core", `${serves} serves, and was rolled back`);
    }
  }

  #soon(fault: Fault, act: () => void): void {
    const { clock, random, fates, faults } = this.#ports;
    const comes = fates.comes(fault);
    clock.after(random.between(1, WITHIN_MS), () => {
      if (comes && faults()) act();
    });
  }
}
