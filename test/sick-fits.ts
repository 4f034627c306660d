/** What may befall the process of sick-driver.ts. */
import { openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { SEIZURES } from "../src/torture/tamper/seizures.ts";

/** What a disk that has become slow takes, and a well one. */
const SLOW_MS = 100;
const WELL_MS = 1;
const LATE_MS = 20;
/** Bytes and descriptors that a leak takes. */
const GROWTH_BYTES = 192 << 20;
const GROWTH_STEP_BYTES = 8 << 20;
const HOARD_FILES = 200;
/** Of a slow event loop: held up for so long, in so long. It takes no core meanwhile, which others might want. */
const HELD_UP_MS = 150;
const HELD_UP_EVERY_MS = 160;
/** Memory is taken in steps, between which the event loop turns: it is no hang. */
const FILL_STEP = 50_000;
const NEVER = new Promise<never>(() => {});

export type Fit = keyof ReturnType<typeof fitsOf>;

/** The state of one patient. */
export class Fits {
  /** Nothing settles any more. */
  deadlocked = false;
  /** What a call takes; 0: it settles at once. */
  latencyMs = 0;
  readonly leaked: unknown[] = [];
  readonly #fits = fitsOf(this);

  /** Returns a promise where the call that it strikes has to wait for that. */
  strike(fit: Fit): unknown {
    const befall = this.#fits[fit];
    if (befall === undefined) throw new Error(`Cannot fall ill with ${fit}: there is no such fit`);
    return befall();
  }

  /** An extent that is another one each time that it is looked at, so that its first check proves nothing. */
  changingExtent(length: number): { readonly length: number } {
    let looks = 0;
    return {
      get length() {
        return looks++ < 1 ? length : 1;
      },
    };
  }
}

function fitsOf(patient: Fits) {
  return {
    exit: SEIZURES.exit,
    abort: () => process.abort(),
    kill: () => process.kill(process.pid, "SIGKILL"),
    // The call that it befalls is not answered first.
    throw: () => {
      setImmediate(() => {
        throw new Error("out of the blue");
      });
      return NEVER;
    },
    reject: () => {
      SEIZURES.rejection();
      return NEVER;
    },
    heap: () => fillHeap(patient.leaked),
    refuse: () => Promise.reject(Object.assign(new Error("it can't be done today"), { code: "EIO" })),

    never: () => NEVER,
    late: () => sleep(LATE_MS),
    deadlock: () => {
      patient.deadlocked = true;
      return NEVER;
    },
    loop: SEIZURES.loop,
    stop: () => process.kill(process.pid, "SIGSTOP"),
    block: () => wait(Number.POSITIVE_INFINITY),

    grow: () => grow(patient.leaked, GROWTH_BYTES),
    hoard: () => {
      for (let count = 0; count < HOARD_FILES; count++) openSync("/dev/null", "r");
    },
    lag: () => void setInterval(() => wait(HELD_UP_MS), HELD_UP_EVERY_MS),
    slow: () => {
      patient.latencyMs = SLOW_MS;
    },
    well: () => {
      patient.latencyMs = WELL_MS;
    },
  };
}

function grow(leaked: unknown[], bytes: number): void {
  leaked.push(Buffer.alloc(GROWTH_STEP_BYTES, 1));
  if (bytes > GROWTH_STEP_BYTES) setImmediate(() => grow(leaked, bytes - GROWTH_STEP_BYTES));
}

function fillHeap(leaked: unknown[]): void {
  for (let count = 0; count < FILL_STEP; count++) leaked.push({ count });
  setImmediate(() => fillHeap(leaked));
}

/** Blocks the event loop. */
function wait(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
