import type { DeviceEvent } from "../supervisor/event.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import type { UpgradeOutcome } from "../supervisor/upgrade.ts";
import type { VirtualClock } from "./clock.ts";
import type { DriverKind } from "./driver-kind.ts";
import type { SeededRandom } from "./random.ts";
import { Violation } from "./violation.ts";

/** When something is done, in milliseconds from now. */
const WITHIN_MS = 1000;

export interface OperatorPorts {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly supervisor: Supervisor;
  /** Off: nothing is done any more. */
  faults(): boolean;
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
    const { random, supervisor } = this.#ports;
    for (let i = random.between(1, 3); i > 0; i--) {
      const act = random.pick(["restart", "restart", "kill", "health"]);
      this.#soon(() => {
        if (act === "restart") this.restart();
        else if (act === "kill") supervisor.kill();
        else supervisor.sick(supervisor.epoch, "its own check failed");
      });
    }
  }

  planUpgrades(to: DriverKind, times: number): void {
    for (let i = 0; i < times; i++) this.#soon(() => this.upgrade(to));
  }

  planUpgradeAfter(ms: number, to: DriverKind): void {
    this.#ports.clock.after(ms, () => this.upgrade(to));
  }

  restart(): void {
    if (!this.#ports.supervisor.restart()) return;
    this.#fallenBackTo = undefined;
  }

  upgrade(to: DriverKind): void {
    const { supervisor, clock } = this.#ports;
    const from = supervisor.driver.kind;
    const started = supervisor.upgrade(to, {
      serving: () => {
        this.#servingAt = clock.now();
      },
      ended: (outcome) => this.#ended(outcome),
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

  #ended({ outcome }: UpgradeOutcome): void {
    const upgrade = this.#upgrade;
    if (upgrade === undefined) throw new Violation("core", `an upgrade ended (${outcome}) that was not under way`);
    this.#upgrade = undefined;
    this.upgrades[outcome]++;
    const { kind } = this.#ports.supervisor.driver;
    if (outcome === "upgraded" && kind !== upgrade.to) {
      throw new Violation("core", `${kind} serves after an upgrade to ${upgrade.to}`);
    }
    if (outcome === "rolled back" && kind === upgrade.to && upgrade.from !== upgrade.to) {
      throw new Violation("core", `${kind} serves, and was rolled back`);
    }
  }

  #soon(act: () => void): void {
    const { clock, random, faults } = this.#ports;
    clock.after(random.between(1, WITHIN_MS), () => {
      if (faults()) act();
    });
  }
}
