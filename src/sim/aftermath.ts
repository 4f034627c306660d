import type { Device } from "../shadow/device.ts";
import { DEFAULT_POLICY } from "../supervisor/policy.ts";
import type { StopOutcome, Supervisor } from "../supervisor/supervisor.ts";
import type { Clientele } from "./clientele.ts";
import { type Course, LIVENESS_MS } from "./course.ts";
import type { DriverKind } from "./driver-kind.ts";
import type { History } from "./history.ts";
import type { PoisonedMemory } from "./memory.ts";
import type { Operator } from "./operator.ts";
import type { Profile } from "./profile.ts";
import type { SeededRandom } from "./random.ts";
import type { Draft } from "./sim-client.ts";
import type { SimIncarnations } from "./sim-incarnations.ts";
import { Violation } from "./violation.ts";
import type { Witnesses } from "./witnesses.ts";

/** After the last reply: until all that is on its way has come. */
const SETTLE_MS = 1000;
/** An upgrade takes about as long. */
const MID_UPGRADE_MS = 200;
const READ_SECTORS = 16;

export interface AftermathPorts {
  readonly profile: Profile;
  readonly course: Course;
  readonly random: SeededRandom;
  readonly history: History;
  readonly writes: PoisonedMemory;
  readonly reads: PoisonedMemory;
  readonly newcomer: DriverKind | undefined;
  readonly incarnations: SimIncarnations;
  readonly device: Device;
  readonly supervisor: Supervisor;
  readonly operator: Operator;
  readonly witnesses: Witnesses;
  readonly clientele: Clientele;
  /** What the device keeps for itself of the memory for reads. */
  readsOfItsOwn(): number;
  /** How the device has stopped, once it has. */
  stopped(): StopOutcome | undefined;
}

/** The end of a world, without faults: all comes right by itself, or at a word of the operator's, and nothing is missing. */
export class Aftermath {
  readonly #ports: AftermathPorts;

  constructor(ports: AftermathPorts) {
    this.#ports = ports;
  }

  live(): void {
    this.#recover();
    this.#readAll("after the faults");
    this.#refillBudget();
    this.#ports.incarnations.crash();
    this.#readAll("after a last crash");
    this.#runScript([{ kind: "flush", first: 0, count: 0 }], "the last flush");
    this.#checkRest();
    this.#runScript([{ kind: "write", first: 0, count: 2, fua: true }], "a last FUA write");
    this.#checkRest();
    this.#stop();
  }

  /** The device is well again, by itself or, where it has given something up, by the operator's word. */
  #recover(): void {
    const { profile, course, device, supervisor, operator, witnesses } = this.#ports;
    const serves = (): boolean => supervisor.state === "live" || supervisor.state === "degraded";
    const rests = (): boolean => serves() && !operator.upgrading;
    if (profile.sickness.policy.exhausted === undefined && witnesses.lies === undefined) {
      course.need(rests, LIVENESS_MS, "the device does not recover");
    } else if (!course.until(rests, LIVENESS_MS)) {
      operator.restart();
    }
    this.#refillBudget();
    if (device.trouble !== undefined) operator.restart();
    course.need(() => supervisor.state === "live" && rests(), LIVENESS_MS, "the device is not well again");
  }

  /** Waits until no restart counts any more. */
  #refillBudget(): void {
    const { profile, course } = this.#ports;
    if (profile.sickness.fallback !== undefined) course.pass(DEFAULT_POLICY.restartBudgetMs + SETTLE_MS);
  }

  #readAll(when: string): void {
    const { sectors } = this.#ports.profile;
    const drafts: Draft[] = [];
    for (let first = 0; first < sectors; first += READ_SECTORS) {
      drafts.push({ kind: "read", first, count: Math.min(READ_SECTORS, sectors - first) });
    }
    this.#runScript(drafts, `the reading ${when}`);
  }

  /** Whatever fails now has no excuse. */
  #runScript(drafts: readonly Draft[], what: string): void {
    const { course, witnesses, clientele } = this.#ports;
    witnesses.excuses.forget();
    const client = clientele.run(drafts);
    course.need(() => client.finished, LIVENESS_MS, `${what} is not over`);
  }

  /** Everything has been answered and flushed: nothing is held any more, and the medium has it all. */
  #checkRest(): void {
    const { course, device, writes, reads, history } = this.#ports;
    course.pass(SETTLE_MS);
    const { pieces } = device.shadow;
    if (pieces > 0) throw new Violation("P6", `${pieces} pieces are held although everything is durable`);
    if (device.unanswered > 0) throw new Violation("P7", `${device.unanswered} requests are unanswered`);
    if (writes.usedBytes > 0) throw new Violation("P6", `${writes.usedBytes} bytes of writes have leaked`);
    const leaked = reads.usedBytes - this.#ports.readsOfItsOwn();
    if (leaked > 0) throw new Violation("P6", `${leaked} bytes of reads have leaked`);
    history.checkEnd();
  }

  /** In the middle of an upgrade, where there is a newcomer. */
  #stop(): void {
    const { course, random, newcomer, supervisor, operator, stopped } = this.#ports;
    if (newcomer !== undefined) {
      operator.upgrade(newcomer);
      course.pass(random.below(MID_UPGRADE_MS));
    }
    supervisor.stop();
    course.need(() => stopped() !== undefined, LIVENESS_MS, "the device does not stop");
    const outcome = stopped();
    if (outcome?.clean !== true) throw new Violation("liveness", `the stop is not clean: ${outcome?.reason}`);
    if (operator.upgrading) throw new Violation("liveness", "nobody was told of the end of an upgrade");
  }
}
