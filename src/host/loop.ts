import { Socket } from "node:net";
import { DOORBELL_FD } from "../link/control.ts";
import type { Complete, Executor } from "../link/executor.ts";
import type { HostRing } from "../link/ring.ts";
import { FEW, Spin } from "../link/spin.ts";
import { ring as ringDoorbell } from "../os/doorbell.ts";

/** Completions of a batch are shown to the front together, but not later than after so many bytes of payload. */
const PUBLISH_BYTES = 256 << 10;

/** Takes submissions off the ring, has them executed, and puts their completions on the other one. */
export class HostLoop {
  readonly #ring: HostRing;
  readonly #executor: Executor;
  readonly #spin: Spin;
  #draining = false;
  #unpublishedBytes = 0;

  constructor(ring: HostRing, executor: (complete: Complete) => Executor) {
    this.#ring = ring;
    this.#executor = executor((tag, errno, count) => this.#complete(tag, errno, count));
    this.#spin = new Spin(
      () => this.#drain(),
      () => ring.sleep(),
    );
  }

  start(): void {
    const buffer = Buffer.alloc(64);
    const doorbell = new Socket({
      fd: DOORBELL_FD,
      writable: false,
      onread: {
        buffer,
        callback: () => {
          this.#wake();
          return true;
        },
      },
    });
    doorbell.on("error", () => {});
    doorbell.resume();
    this.#wake();
  }

  /** When it settles, everything that was submitted before has been completed. */
  drained(): Promise<void> {
    this.#drain();
    return this.#executor.drained();
  }

  #wake(): void {
    this.#ring.wake();
    this.#spin.active(this.#drain() <= FEW);
  }

  #drain(): number {
    const ring = this.#ring;
    const count = ring.arrived();
    if (count === 0) return 0;
    this.#draining = true;
    for (let i = 0; i < count; i++) {
      ring.next();
      this.#executor.execute(ring.tag, ring.operation, ring.flags, ring.offset, ring.length, ring.address);
    }
    this.#draining = false;
    this.#publish();
    return count;
  }

  #complete: Complete = (tag, errno, count) => {
    this.#ring.complete(tag, errno, count);
    this.#unpublishedBytes += count;
    if (!this.#draining || this.#unpublishedBytes >= PUBLISH_BYTES) this.#publish();
  };

  #publish(): void {
    this.#unpublishedBytes = 0;
    if (this.#ring.publish()) ringDoorbell(DOORBELL_FD);
  }
}
