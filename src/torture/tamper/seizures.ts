import type { OpenedDevice } from "../../block/driver.ts";
import type { ProcessFault, ProcessKind } from "../plan.ts";
import { delegating } from "./delegating.ts";
import type { Strikes } from "./strikes.ts";

/** What befalls a process from within. The others come from outside. */
export type SeizureKind = Exclude<ProcessKind, "kill" | "kill-all" | "stop">;

const GROWTH_STEP_BYTES = 8 << 20;
const GROWTH_STEP_MS = 4;
/** Where the machine has no more memory, as it were: it is the test's machine as well. */
const MEMORY_END_BYTES = 896 << 20;
const EXIT_CODE = 3;

/** When in the life of an incarnation it is struck. */
export class Seizures {
  readonly #fault: ProcessFault;
  readonly #strikes: Strikes;
  /** Strikes of earlier incarnations. */
  readonly #before: number;
  #calls = 0;

  constructor(fault: ProcessFault, strikes: Strikes) {
    this.#fault = fault;
    this.#strikes = strikes;
    this.#before = strikes.count;
  }

  /** Before the store is opened. */
  opening(): void {
    if (this.#fault.persistence === "persistent") this.#later();
    else if (this.#isNext && this.#before === 1) this.#strike();
  }

  /**
   * Before each call. The first strike of a transient fault comes some time after the first one, with which the load begins.
   * Those that follow it come at each next incarnation a step further into the recovery: as it opens, at its first call, at its
   * second one.
   */
  calling(): void {
    this.#calls++;
    if (this.#fault.persistence === "persistent") return;
    if (this.#before === 0 && this.#calls === 1) this.#later();
    if (this.#isNext && this.#calls === this.#before - 1) this.#strike();
  }

  /** Whether this incarnation is to be struck after others were. */
  get #isNext(): boolean {
    return this.#before > 0 && this.#before < this.#fault.strikes;
  }

  #later(): void {
    setTimeout(() => this.#strike(), this.#fault.afterMs);
  }

  #strike(): void {
    const { kind } = this.#fault;
    if (isSeizure(kind) && this.#strikes.claim(this.#before + 1)) SEIZURES[kind]();
  }
}

/** The same device; each of its calls is told first. */
export function seizedDevice(device: OpenedDevice, seizures: Seizures): OpenedDevice {
  return delegating(device, () => seizures.calling());
}

export function isSeizure(kind: ProcessKind): kind is SeizureKind {
  return Object.hasOwn(SEIZURES, kind);
}

/** They act on the process they are called in. */
export const SEIZURES: Readonly<Record<SeizureKind, () => void>> = {
  loop: () => {
    for (;;);
  },
  memory: () => grow([]),
  exit: () => process.exit(EXIT_CODE),
  rejection: () => void Promise.reject(new Error("nobody listens")),
};

/** The event loop turns meanwhile. At the end it is killed as by the kernel, where a machine's memory is short. */
function grow(leaked: Buffer[]): void {
  leaked.push(Buffer.alloc(GROWTH_STEP_BYTES, 1));
  if (leaked.length * GROWTH_STEP_BYTES >= MEMORY_END_BYTES) process.kill(process.pid, "SIGKILL");
  else setTimeout(() => grow(leaked), GROWTH_STEP_MS);
}
