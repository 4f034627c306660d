import type { DriverRef, Incarnations, Usage, Vitals } from "../shadow/ports.ts";
import type { DriverKind } from "./driver-kind.ts";
import { SimDriver, type SimDriverPorts } from "./sim-driver.ts";
import type { SimFront } from "./sim-front.ts";
import { Violation } from "./violation.ts";

/** What becomes of drivers, for the world around them. */
export interface IncarnationsPorts
  extends Omit<SimDriverPorts, "kind" | "random" | "events" | "writes" | "reads" | "exited" | "hangs"> {
  readonly kinds: readonly DriverKind[];
  /** The front that asks. */
  front(): Pick<SimFront, "life" | "events" | "writes" | "reads">;
  started(epoch: number, kind: DriverKind): void;
  /** None is left: the next front may come. */
  reaped(): void;
  /** A generator of chances for the next one. */
  fork(): SimDriverPorts["random"];
  /** It hangs from now on, with something in hand. */
  hangs(driver: SimDriver, hang: Parameters<SimDriverPorts["hangs"]>[0]): void;
}

/**
 * Makes and ends simulated drivers, and sees to it that there is never more than one (P4), whichever front started it: what is the
 * machine's and the fence's, and outlives every front.
 */
export class SimIncarnations implements Incarnations {
  readonly #ports: IncarnationsPorts;
  #living: SimDriver | undefined;
  #newest: SimDriver | undefined;

  constructor(ports: IncarnationsPorts) {
    this.#ports = ports;
  }

  /** The last one that was started, even if it is gone. */
  get newest(): SimDriver | undefined {
    return this.#newest;
  }

  start(epoch: number, ref: DriverRef): void {
    if (this.#living !== undefined) {
      throw new Violation("P4", `epoch ${epoch} starts while epoch ${this.#living.epoch} is not reaped`);
    }
    const last = this.#newest?.epoch ?? 0;
    if (epoch <= last) throw new Violation("P4", `epoch ${epoch} follows epoch ${last}`);
    const kind = this.#kindOf(ref);
    this.#ports.started(epoch, kind);
    const { events, writes, reads } = this.#ports.front();
    const driver: SimDriver = new SimDriver(epoch, {
      ...this.#ports,
      random: this.#ports.fork(),
      kind,
      events,
      writes,
      reads,
      hangs: (hang) => this.#ports.hangs(driver, hang),
      exited: () => {
        this.#living = undefined;
        this.#ports.reaped();
      },
    });
    this.#living = driver;
    this.#newest = driver;
  }

  close(epoch: number): void {
    this.#find(epoch)?.close();
  }

  kill(epoch: number): void {
    this.#find(epoch)?.kill();
  }

  /** Kills the one that lives, unless it is dead already. */
  crash(): void {
    this.#living?.crash();
  }

  /** None is left of any front. */
  get idle(): boolean {
    return this.#living === undefined;
  }

  /** Its front has died, and the kernel kills it for that; until it is reaped it may go on. */
  orphaned(): void {
    this.#living?.kill();
  }

  /** It is gone at once, and its cache is the store's affair. */
  powerFails(): void {
    this.#living?.vanish();
  }

  unprepare(): void {}

  prepare(ref: DriverRef, done: (failure: string | undefined) => void): void {
    const { readyMs } = this.#kindOf(ref);
    this.#ports
      .front()
      .life.clock.after(readyMs ?? 1, () => done(readyMs === undefined ? "its module does not load" : undefined));
  }

  ping(epoch: number): void {
    this.#find(epoch)?.process.ring();
  }

  beat(epoch: number): number | undefined {
    return this.#find(epoch)?.process.beat;
  }

  vitals(epoch: number): Vitals | undefined {
    return this.#find(epoch)?.process.vitals;
  }

  usage(epoch: number): Usage | undefined {
    return this.#find(epoch)?.process.usage;
  }

  #find(epoch: number): SimDriver | undefined {
    return this.#living?.epoch === epoch ? this.#living : undefined;
  }

  #kindOf(ref: DriverRef): DriverKind {
    const kind = this.#ports.kinds.find((known) => known === ref);
    if (kind === undefined) throw new Violation("core", `the driver ${ref.kind} is not one of this world`);
    return kind;
  }
}
