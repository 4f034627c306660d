import type { SeededRandom } from "../block/random.ts";
import { Device } from "../shadow/device.ts";
import type { Remains } from "../shadow/home.ts";
import type { Incarnations, Log } from "../shadow/ports.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import { type StopOutcome, Supervisor } from "../supervisor/supervisor.ts";
import type { DriverKind } from "./driver-kind.ts";
import type { Life } from "./life.ts";
import { PoisonedMemory } from "./memory.ts";
import type { Profile } from "./profile.ts";
import type { SimIncarnationEvents } from "./sim-driver.ts";
import type { Dwelling } from "./sim-home.ts";

export interface SimFrontPorts {
  readonly life: Life;
  readonly profile: Profile;
  readonly random: SeededRandom;
  readonly log: Log;
  readonly incarnations: Incarnations;
  readonly first: DriverKind;
  readonly fallback: DriverKind | undefined;
  /** Of the newest incarnation, as the lock of the store says, which outlives fronts, and no power cut. */
  readonly lockedEpoch: number;
  /** It has a driver for the first time, or none that could serve what it has taken up: connections may come. */
  serves(): void;
  /** It has never had one, and ends. */
  startFailed(reason: string): void;
  /** It has ended in order, as it was told. */
  stopped(outcome: StopOutcome): void;
  event(event: DeviceEvent): void;
}

/** One front: the real device and supervisor, and all that dies with them. */
export class SimFront {
  readonly life: Life;
  readonly device: Device;
  readonly supervisor: Supervisor;
  readonly writes: PoisonedMemory;
  readonly reads: PoisonedMemory;
  /** What drivers tell it, while it lives. */
  readonly events: SimIncarnationEvents;
  #serves = false;
  /** What the device keeps for itself of the memory for reads. */
  #readsOfItsOwn = 0;
  #stopped: StopOutcome | undefined;

  constructor(ports: SimFrontPorts, { writes, home, remains }: Dwelling) {
    const { life, profile, random, log, first, fallback, incarnations } = ports;
    const { limits, readBytes, sickness } = profile;
    this.life = life;
    this.writes = writes;
    this.reads = new PoisonedMemory(1, readBytes);
    const { clock } = life;
    this.device = new Device(
      {
        name: "disk",
        clock,
        random: random.fork(),
        log,
        writes,
        reads: this.reads,
        shortOfReads: () => {},
        cutOffIdleWriters: () => 0,
      },
      limits,
      { verify: sickness.verifies ? "digests" : undefined, home, remains },
    );
    const supervisor = new Supervisor(
      {
        device: this.device,
        incarnations,
        drivers: { first, fallback },
        clock,
        random: random.fork(),
        log,
        observer: {
          event: (event) => ports.event(event),
          live: () => this.#serve(ports),
          // Clients are told so by every answer, until the operator does something.
          failed: () => this.#serve(ports),
          startFailed: (reason) => ports.startFailed(reason),
          stopped: (outcome) => {
            this.#stopped = outcome;
            ports.stopped(outcome);
          },
        },
      },
      sickness.policy,
      firstEpoch(remains, ports.lockedEpoch, clock.now()),
    );
    this.supervisor = supervisor;
    this.events = {
      opened: (epoch, info, link) => life.enter(() => supervisor.opened(epoch, info, link)),
      openFailed: (epoch, message) => life.enter(() => supervisor.openFailed(epoch, message)),
      completed: (epoch, tag, errno, count) => life.enter(() => supervisor.completed(epoch, tag, errno, count)),
      settled: (epoch) => life.enter(() => supervisor.settled(epoch)),
      exited: (epoch, kind, how) => life.enter(() => supervisor.exited(epoch, kind, how)),
      point: () => life.point(),
    };
  }

  get serves(): boolean {
    return this.#serves;
  }

  get readsOfItsOwn(): number {
    return this.#readsOfItsOwn;
  }

  /** How it has stopped, once it has. */
  get stopped(): StopOutcome | undefined {
    return this.#stopped;
  }

  start(): void {
    this.life.enter(() => this.supervisor.start());
  }

  #serve(ports: SimFrontPorts): void {
    if (this.#serves) return;
    this.#serves = true;
    this.#readsOfItsOwn = this.reads.usedBytes;
    ports.serves();
  }
}

/** Greater than every epoch before, of other fronts too. */
function firstEpoch(remains: Remains | undefined, lockedEpoch: number, now: number): number {
  return 1 + Math.max(Math.floor(now), lockedEpoch, remains?.store?.epoch ?? 0);
}
