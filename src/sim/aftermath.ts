import type { SeededRandom } from "../block/random.ts";
import { DEFAULT_POLICY } from "../supervisor/policy.ts";
import type { Clientele } from "./clientele.ts";
import { type Course, LIVENESS_MS } from "./course.ts";
import type { DriverKind } from "./driver-kind.ts";
import type { History } from "./history.ts";
import type { Operator } from "./operator.ts";
import type { Profile } from "./profile.ts";
import type { Death } from "./reaper.ts";
import type { Draft } from "./sim-client.ts";
import type { SimFront } from "./sim-front.ts";
import type { SimIncarnations } from "./sim-incarnations.ts";
import { Violation } from "./violation.ts";
import type { Witnesses } from "./witnesses.ts";

/** After the last reply: until all that is on its way has come. */
const SETTLE_MS = 1000;
/** An upgrade takes about as long. */
const MID_UPGRADE_MS = 200;
/** So does a stop. */
const MID_STOP_MS = 100;
const READ_SECTORS = 16;

export interface AftermathPorts {
  readonly profile: Profile;
  readonly course: Course;
  readonly random: SeededRandom;
  readonly history: History;
  readonly newcomer: DriverKind | undefined;
  readonly incarnations: SimIncarnations;
  readonly operator: Operator;
  readonly witnesses: Witnesses;
  readonly clientele: Clientele;
  /** The one that lives, if one does. */
  front(): SimFront | undefined;
  /** The home's disk is mended. Whether it was broken. */
  mendHome(): boolean;
  /** Takes the front that lives. */
  take(death: Death): void;
}

/** The end of a world, without faults: all comes right by itself, or at a word of the operator's, and nothing is missing. */
export class Aftermath {
  readonly #ports: AftermathPorts;

  constructor(ports: AftermathPorts) {
    this.#ports = ports;
  }

  live(): void {
    this.#mend();
    this.#recover();
    this.#readAll("after the faults");
    this.#refillBudget();
    this.#ports.incarnations.crash();
    this.#readAll("after a last crash");
    if (this.#ports.profile.home.deaths > 0) this.#loseFront("front");
    if (this.#ports.profile.home.powerFails) this.#loseFront("power");
    this.#runScript([{ kind: "flush", first: 0, count: 0 }], "the last flush");
    this.#checkRest();
    this.#runScript([{ kind: "write", first: 0, count: 2, fua: true }], "a last FUA write");
    this.#checkRest();
    this.#stop();
  }

  /** What keeps nothing any more is left, for a front that finds the disk mended. */
  #mend(): void {
    const { course, take, front, mendHome } = this.#ports;
    if (!mendHome()) return;
    take("front");
    course.need(
      () => front()?.serves === true,
      LIVENESS_MS,
      "the front after one whose home had failed does not serve",
    );
  }

  /** The device is well again, by itself or, where it has given something up, by the operator's word. */
  #recover(): void {
    const { profile, course, operator, witnesses } = this.#ports;
    const state = (): string | undefined => this.#ports.front()?.supervisor.state;
    const serves = (): boolean => state() === "live" || state() === "degraded";
    const rests = (): boolean => serves() && !operator.upgrading;
    const mayFail = profile.sickness.policy.exhausted !== undefined;
    if (!mayFail && witnesses.lies === undefined) {
      course.need(rests, LIVENESS_MS, "the device does not recover");
    } else if (!course.until(rests, LIVENESS_MS)) {
      operator.restart();
    }
    this.#refillBudget();
    if (this.#front.device.trouble !== undefined) operator.restart();
    const isWell = (): boolean => state() === "live" && rests();
    // What has struck it before the faults went off may be found only now.
    if (mayFail && !course.until(isWell, LIVENESS_MS)) operator.restart();
    course.need(isWell, LIVENESS_MS, "the device is not well again");
  }

  /** Another one takes up what it has left, and nobody misses anything. */
  #loseFront(death: Death): void {
    const { course, take, front } = this.#ports;
    take(death);
    course.need(() => front()?.serves === true, LIVENESS_MS, "the next front does not serve");
    this.#refillBudget();
    this.#readAll(`after ${death === "power" ? "a power cut" : "a front's death"}`);
  }

  get #front(): SimFront {
    const front = this.#ports.front();
    if (front === undefined) throw new Violation("liveness", "there is no front");
    return front;
  }

  /** Waits until no restart counts any more. */
  #refillBudget(): void {
    const { profile, course } = this.#ports;
    const { fallback, policy } = profile.sickness;
    if (fallback !== undefined || policy.restartBudget !== undefined)
      course.pass(DEFAULT_POLICY.restartBudgetMs + SETTLE_MS);
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
    const { course, history } = this.#ports;
    // A log answers a flush before the driver has been asked for one.
    if (this.#ports.profile.home.kind === "disk")
      course.until(() => this.#ports.front()?.device.shadow.pieces === 0, LIVENESS_MS);
    course.pass(SETTLE_MS);
    const { device, writes, reads, readsOfItsOwn } = this.#front;
    const { pieces } = device.shadow;
    if (pieces > 0) throw new Violation("P6", `${pieces} pieces are held although everything is durable`);
    if (device.unanswered > 0) throw new Violation("P7", `${device.unanswered} requests are unanswered`);
    if (writes.usedBytes > 0) throw new Violation("P6", `${writes.usedBytes} bytes of writes have leaked`);
    const leaked = reads.usedBytes - readsOfItsOwn;
    if (leaked > 0) throw new Violation("P6", `${leaked} bytes of reads have leaked`);
    history.checkEnd();
  }

  /** In the middle of an upgrade, where there is a newcomer. */
  #stop(): void {
    const { course, random, profile, newcomer, operator, take, front } = this.#ports;
    if (newcomer !== undefined) {
      operator.upgrade(newcomer);
      course.pass(random.below(MID_UPGRADE_MS));
    }
    const stop = (): void => operator.stop();
    if (profile.home.deaths > 0 && random.chance(0.5)) {
      stop();
      course.pass(random.below(MID_STOP_MS));
      take("front");
      course.need(
        () => front()?.serves === true,
        LIVENESS_MS,
        "the front after one that died of a stop does not serve",
      );
      this.#readAll("after a death during a stop");
    }
    stop();
    course.need(() => front()?.stopped !== undefined, LIVENESS_MS, "the device does not stop");
    const outcome = front()?.stopped;
    if (outcome?.clean !== true) throw new Violation("liveness", `the stop is not clean: ${outcome?.reason}`);
    if (operator.upgrading) throw new Violation("liveness", "nobody was told of the end of an upgrade");
  }
}
