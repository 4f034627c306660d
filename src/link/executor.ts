import type { DriverExtent, OpenedDevice } from "../block/driver.ts";
import { ERRNO, type Errno, errnoOf } from "../block/errors.ts";
import { encodeExtents } from "../block/extents.ts";
import { EXTENTS_SLOT_BYTES, type Operation, SUBMIT_FAST, SUBMIT_FUA, SUBMIT_MAY_TRIM } from "../shadow/ports.ts";
import type { Views } from "./views.ts";

const WRITE_PLAIN = Object.freeze({ fua: false });
const WRITE_FUA = Object.freeze({ fua: true });

/** What an executor calls when an operation has settled; exactly once for each. */
export type Complete = (tag: number, errno: Errno, count: number) => void;

/** Calls a driver's methods for what comes off a link. A method that returns no promise has settled when it returns. */
export class Executor {
  readonly #device: OpenedDevice;
  readonly #blockSize: number;
  readonly #writes: Views;
  readonly #reads: Views;
  readonly #complete: Complete;
  #inFlight = 0;
  #idle: (() => void) | undefined;

  constructor(device: OpenedDevice, blockSize: number, writes: Views, reads: Views, complete: Complete) {
    this.#device = device;
    this.#blockSize = blockSize;
    this.#writes = writes;
    this.#reads = reads;
    this.#complete = complete;
  }

  /** When it settles, so has everything that was executed before. */
  drained(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** The arguments are those of {@link Link.submit}. */
  execute(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    const count = operation === "read" || operation === "write" ? length : 0;
    let result: unknown;
    try {
      result = this.#call(operation, flags, offset, length, address);
    } catch (error) {
      this.#complete(tag, errnoOf(error), 0);
      return;
    }
    if (!isThenable(result)) {
      this.#settle(tag, operation, length, address, count, result);
      return;
    }
    this.#inFlight++;
    // A promise of another make might settle twice.
    const promise = result instanceof Promise ? result : Promise.resolve(result);
    promise.then(
      (value: unknown) => {
        this.#settle(tag, operation, length, address, count, value);
        this.#landed();
      },
      (error: unknown) => {
        this.#complete(tag, errnoOf(error), 0);
        this.#landed();
      },
    );
  }

  #call(operation: Operation, flags: number, offset: number, length: number, address: number): unknown {
    const device = this.#device;
    switch (operation) {
      case "read":
        return device.read(offset, this.#reads.at(address, length));
      case "write":
        return (device.write ?? unsupported)(
          offset,
          this.#writes.at(address, length),
          (flags & SUBMIT_FUA) === 0 ? WRITE_PLAIN : WRITE_FUA,
        );
      case "flush":
        return device.flush?.();
      case "trim":
        return (device.trim ?? unsupported)(offset, length);
      case "zero":
        return (device.zero ?? unsupported)(offset, length, {
          mayTrim: (flags & SUBMIT_MAY_TRIM) !== 0,
          fast: (flags & SUBMIT_FAST) !== 0,
        });
      case "extents":
        return (device.extents ?? unsupported)(offset, length);
    }
  }

  #settle(tag: number, operation: Operation, length: number, address: number, count: number, value: unknown): void {
    if (operation !== "extents") {
      this.#complete(tag, 0, count);
    } else if (isExtents(value, length, this.#blockSize)) {
      this.#complete(tag, 0, encodeExtents(value, length, this.#reads.at(address, EXTENTS_SLOT_BYTES)));
    } else {
      this.#complete(tag, ERRNO.EIO, 0);
    }
  }

  #landed(): void {
    if (--this.#inFlight === 0) this.#idle?.();
  }
}

function unsupported(): never {
  throw Object.assign(new Error("the driver has no such method"), { code: "ENOTSUP" });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/** Whether a driver's list of extents is one: whole blocks in order; what lies beyond the range is cut off later. */
function isExtents(value: unknown, length: number, blockSize: number): value is DriverExtent[] {
  if (!Array.isArray(value) || value.length === 0) return false;
  let covered = 0;
  for (const extent of value as unknown[]) {
    if (typeof extent !== "object" || extent === null || !("length" in extent)) return false;
    const run = extent.length;
    if (typeof run !== "number" || !Number.isSafeInteger(run) || run <= 0) return false;
    covered += run;
    if (run % blockSize !== 0 && covered < length) return false;
  }
  return true;
}
