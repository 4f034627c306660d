import { DOORBELL_FD } from "../link/control.ts";
import type { Complete, Executor } from "../link/executor.ts";
import type { HostPulse } from "../link/pulse.ts";
import type { HostRing } from "../link/ring.ts";
import { FEW, Spin } from "../link/spin.ts";
import { ring as ringDoorbell } from "../os/doorbell.ts";

/** Completions of a batch are shown to the front together, but not later than after so many bytes of payload … */
const PUBLISH_BYTES = 256 << 10;
/** … or so long: where each call takes its time, the front has to see that they go on. */
const PUBLISH_MS = 5;

/** Takes submissions off the ring, has them executed, and puts their completions on the other one. */
export class HostLoop {
  readonly #ring: HostRing;
  readonly #pulse: HostPulse;
  readonly #spin: Spin;
  #executor: Executor | undefined;
  #draining = false;
  #unpublishedBytes = 0;
  #publishedAt = 0;

  /** Does nothing before `start`. */
  constructor(ring: HostRing, pulse: HostPulse) {
    this.#ring = ring;
    this.#pulse = pulse;
    this.#spin = new Spin(
      () => this.#drain(),
      () => ring.sleep(),
    );
  }

  start(executor: (complete: Complete) => Executor): void {
    this.#executor = executor((tag, errno, count) => this.#complete(tag, errno, count));
    this.#wake();
  }

  /** The front has rung the doorbell. */
  rung(): void {
    this.#pulse.answer();
    // A front that only asks whether this loop still turns is no reason to stay awake.
    if (this.#ring.arrived() > 0) this.#wake();
  }

  /** When it settles, everything that was submitted before has been completed. */
  async drained(): Promise<void> {
    this.#drain();
    await this.#executor?.drained();
  }

  #wake(): void {
    this.#ring.wake();
    this.#spin.active(this.#drain() <= FEW);
  }

  #drain(): number {
    const ring = this.#ring;
    const executor = this.#executor;
    const count = ring.arrived();
    if (count === 0 || executor === undefined) return 0;
    this.#draining = true;
    for (let i = 0; i < count; i++) {
      ring.next();
      this.#pulse.beat();
      executor.execute(ring.tag, ring.operation, ring.flags, ring.offset, ring.length, ring.address);
    }
    this.#draining = false;
    this.#publish();
    return count;
  }

  #complete: Complete = (tag, errno, count) => {
    this.#ring.complete(tag, errno, count);
    this.#unpublishedBytes += count;
    if (!this.#draining || this.#unpublishedBytes >= PUBLISH_BYTES) this.#publish();
    else if (performance.now() - this.#publishedAt >= PUBLISH_MS) this.#publish();
  };

  #publish(): void {
    this.#unpublishedBytes = 0;
    this.#publishedAt = performance.now();
    if (this.#ring.publish()) ringDoorbell(DOORBELL_FD);
  }
}
