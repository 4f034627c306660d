import type { FaultKind } from "../block/fault.ts";
import type { IncarnationEvents, Link, Operation } from "../shadow/ports.ts";
import type { FrontRing } from "./ring.ts";
import { Spin } from "./spin.ts";

/** With more submissions out, their completions come in batches that are worth a doorbell. */
const SPIN_DEPTH = 16;

/** The link to a driver host: a pair of rings, and a doorbell for whoever sleeps. */
export class ProcessLink implements Link {
  readonly epoch: number;
  readonly depth: number;
  readonly maxEffect = Number.MAX_SAFE_INTEGER;
  readonly patience = 1;
  readonly #wakeHost: () => void;
  readonly #events: IncarnationEvents;
  readonly #spin: Spin;
  /** Undefined once the link has ended: its memory may be gone. */
  #ring: FrontRing | undefined;
  #rung = 0;

  /** `wakeHost`: rings the host's doorbell; not called any more after `end`. */
  constructor(epoch: number, ring: FrontRing, wakeHost: () => void, events: IncarnationEvents) {
    this.epoch = epoch;
    this.depth = ring.depth;
    this.#ring = ring;
    this.#wakeHost = wakeHost;
    this.#events = events;
    this.#spin = new Spin(
      () => this.drain(),
      () => this.#ring?.sleep() ?? true,
    );
    ring.sleep();
  }

  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    this.#ring?.submit(tag, operation, flags, offset, length, address);
  }

  kick(): void {
    const ring = this.#ring;
    if (ring === undefined) return;
    if (ring.publish()) this.#wakeHost();
    if (ring.outstanding > 0) this.#stayAwake(ring);
  }

  /** The doorbell rang `times` times. */
  rung(times: number): void {
    const ring = this.#ring;
    if (ring === undefined) return;
    this.#rung += times;
    if (this.#rung > ring.naps) {
      this.#break("doorbell", `the doorbell rang ${this.#rung} times, at most ${ring.naps} were asked for`);
      return;
    }
    ring.wake();
    this.drain();
    if (this.#ring !== undefined) this.#stayAwake(ring);
  }

  /** Takes the completions that have arrived. Returns how many there were. */
  drain(): number {
    const count = this.#ring?.arrived();
    if (count === 0) return 0;
    if (count === undefined) {
      if (this.#ring !== undefined)
        this.#break("ring-position", "the position in the ring of completions is out of range");
      return 0;
    }
    for (let i = 0; i < count; i++) {
      // What it calls may end the link.
      const ring: FrontRing | undefined = this.#ring;
      if (ring === undefined) return 0;
      ring.next();
      this.#events.completed(this.epoch, ring.tag, ring.errno, ring.count);
    }
    this.#events.settled(this.epoch);
    return count;
  }

  /** Nothing is taken or sent any more. */
  end(): void {
    this.#ring = undefined;
    this.#spin.stop();
  }

  #stayAwake(ring: FrontRing): void {
    ring.wake();
    this.#spin.active(ring.outstanding > 0 && ring.outstanding <= SPIN_DEPTH);
  }

  #break(kind: FaultKind, what: string): void {
    this.end();
    this.#events.fault(this.epoch, kind, what);
  }
}
