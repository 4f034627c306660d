import type { FaultKind } from "../block/fault.ts";
import { Device, type DeviceOptions } from "../shadow/device.ts";
import type { DriverInfo, DriverRef, Incarnations, Random } from "../shadow/ports.ts";
import { GEOMETRY, HeapMemory, ManualClock, ManualLink, NO_CHANCE, newRequest, SILENT_LOG } from "../shadow/testing.ts";
import type { DeviceEvent } from "./event.ts";
import type { Policy } from "./policy.ts";
import type { Drivers } from "./succession.ts";
import { type StopOutcome, Supervisor } from "./supervisor.ts";

/** Chance that changes nothing: a delay is just as long as it is meant to be. */
const MIDDLE: Random = { below: (bound) => bound / 2 };
export const FIRST: DriverRef = { kind: "first" };
export const INFO: DriverInfo = { geometry: GEOMETRY, identity: "store", discards: false };

/** A supervised device whose incarnations do what the test says. `calls`: what was asked of process control. */
export class World implements Incarnations {
  readonly clock = new ManualClock();
  readonly calls: string[] = [];
  readonly device: Device;
  readonly supervisor: Supervisor;
  readonly replies: (number | undefined)[] = [];
  live = 0;
  startFailure: string | undefined;
  outcome: StopOutcome | undefined;
  link: ManualLink | undefined;
  readonly events: DeviceEvent[] = [];
  prepared: (failure: string | undefined) => void = () => {};
  /** Its event loop turns. */
  beats = 0;

  constructor(policy: Partial<Policy> = {}, drivers: Drivers = { first: FIRST }, options: DeviceOptions = {}) {
    const { clock } = this;
    const memory = { writes: new HeapMemory(), reads: new HeapMemory() };
    const clients = { shortOfReads: () => {}, cutOffIdleWriters: () => 0 };
    const ports = { name: "disk", clock, random: NO_CHANCE, log: SILENT_LOG, ...memory, ...clients };
    this.device = new Device(ports, {}, options);
    const observer = {
      live: () => this.live++,
      failed: () => {},
      startFailed: (reason: string) => {
        this.startFailure = reason;
      },
      stopped: (outcome: StopOutcome) => {
        this.outcome = outcome;
      },
      event: (event: DeviceEvent) => this.events.push(event),
    };
    this.supervisor = new Supervisor(
      { device: this.device, incarnations: this, drivers, clock, random: MIDDLE, log: SILENT_LOG, observer },
      // Whether it hangs is judged elsewhere; here nothing is done until the test does it.
      { watch: false, ...policy },
    );
    this.supervisor.start();
  }

  start(epoch: number, driver: DriverRef): void {
    this.calls.push(driver === FIRST ? `start ${epoch}` : `start ${epoch} ${driver.kind}`);
  }
  close(epoch: number): void {
    this.calls.push(`close ${epoch}`);
  }
  kill(epoch: number): void {
    this.calls.push(`kill ${epoch}`);
  }

  unprepare(): void {
    this.calls.push("unprepare");
  }

  prepare(driver: DriverRef, done: (failure: string | undefined) => void): void {
    this.calls.push(`prepare ${driver.kind}`);
    this.prepared = done;
  }
  ping(): void {}
  beat(): number {
    return this.beats++;
  }
  vitals(): undefined {}
  usage(): undefined {}

  /** The newest incarnation opens its store. */
  open(info = INFO): ManualLink {
    this.link = new ManualLink(this.device, this.supervisor.epoch);
    this.supervisor.opened(this.supervisor.epoch, info, this.link);
    return this.link;
  }

  /** The newest incarnation is gone and reaped. */
  exit(how = "killed by SIGKILL", kind: FaultKind = "killed"): void {
    this.supervisor.exited(this.supervisor.epoch, kind, how);
  }

  send(kind: "read" | "write" | "flush", sector = 0): void {
    const index = this.replies.push(undefined) - 1;
    const request = newRequest(kind, sector, 1, {}, (_, errno) => {
      this.replies[index] = errno;
    });
    const admitted = this.device.admit(request);
    if (admitted === "admitted") this.device.submit(request);
    else this.replies[index] = admitted === "wait" ? undefined : admitted;
    this.device.kick();
  }
}
