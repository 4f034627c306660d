import type { DriverContext } from "../block/driver.ts";
import { SkinkError } from "../block/errors.ts";

/** The memory that incarnations leave to each other, for drivers that are run without a host. */
export class KeptMemory {
  readonly #regions = new Map<string, Uint8Array>();
  #epoch = 0;

  /** What the next incarnation gets. */
  nextContext(): DriverContext {
    return {
      epoch: ++this.#epoch,
      signal: new AbortController().signal,
      log() {},
      keep: (name, bytes) => {
        const region = this.#regions.get(name) ?? new Uint8Array(bytes);
        if (region.byteLength !== bytes) {
          const is = `it has ${region.byteLength} bytes, ${bytes} were wanted`;
          throw new SkinkError("EINVAL", `Cannot keep ${name}: ${is}`);
        }
        this.#regions.set(name, region);
        return region;
      },
    };
  }
}
