import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../../block/errors.ts";
import { type Agreement, difference } from "./agreement.ts";
import { disconnected } from "./errors.ts";
import { type Established, type EstablishOptions, establish } from "./establish.ts";
import { positive } from "./options.ts";

const DEFAULT_ATTEMPTS = 10;
const DEFAULT_DELAY_MS = 100;
const DEFAULT_MAX_DELAY_MS = 5000;
/** What another attempt won't change. */
const FINAL_CODES = ["bad-server", "changed-export", "bad-tls", "bad-credentials", "tls-failed", "tls-required"];

export interface ReconnectOptions {
  /** How often a connection is tried, or lost again, without a reply in between; 10 if left out, Infinity for no end. */
  readonly attempts?: number;
  /** The first attempt is immediate; before the second one so long, then twice that, and so on. 100 if left out. */
  readonly delayMs?: number;
  /** The longest time between attempts; 5000 if left out. */
  readonly maxDelayMs?: number;
  /** Called when a connection is there again. */
  readonly onReconnect?: (reconnection: Reconnection) => void;
}

export interface Reconnection {
  /** How the connection was lost. */
  readonly cause: SkinkError;
  /** Requests that had no reply, and are with the server once more. */
  readonly reissued: number;
  /**
   * Writes, trims or zeroes had been acknowledged that no flush has covered. If the server has lost them, they are lost:
   * nothing here writes them again.
   */
  readonly unflushed: boolean;
}

/** Finds the way back to an export, with a delay that grows from attempt to attempt. */
export class Reconnector {
  readonly attempts: number;
  readonly onReconnect: ((reconnection: Reconnection) => void) | undefined;
  readonly #delayMs: number;
  readonly #maxDelayMs: number;
  readonly #target: EstablishOptions;
  #failures = 0;

  /** Throws a RangeError. */
  constructor(target: EstablishOptions, options: ReconnectOptions) {
    this.#target = target;
    const { attempts = DEFAULT_ATTEMPTS } = options;
    this.attempts = attempts === Number.POSITIVE_INFINITY ? attempts : positive("reconnect.attempts", attempts);
    this.onReconnect = options.onReconnect;
    this.#delayMs = positive("reconnect.delayMs", options.delayMs ?? DEFAULT_DELAY_MS);
    this.#maxDelayMs = positive("reconnect.maxDelayMs", options.maxDelayMs ?? DEFAULT_MAX_DELAY_MS);
  }

  /** The server has answered something. */
  progressed(): void {
    this.#failures = 0;
  }

  /**
   * A connection to the export that `before` describes. Rejects with `disconnected` when all attempts are used up, with
   * `changed-export` if it isn't the same any more, and with what else won't change.
   */
  async connect(before: Agreement, signal: AbortSignal): Promise<Established> {
    let cause: unknown;
    while (this.#failures < this.attempts) {
      if (this.#failures > 0) {
        const exponential = this.#delayMs * 2 ** (this.#failures - 1);
        await delay(Math.min(exponential, this.#maxDelayMs), undefined, { signal });
      }
      // A success counts, too, until a reply has come: else a server that takes connections and drops them is asked for ever.
      this.#failures++;
      try {
        return await this.#attempt(before, signal);
      } catch (error) {
        if (!(error instanceof SkinkError) || FINAL_CODES.includes(error.code)) throw error;
        cause = error;
      }
    }
    throw disconnected(`there is none after ${this.attempts} attempts to have one again`, cause);
  }

  async #attempt(before: Agreement, signal: AbortSignal): Promise<Established> {
    const established = await establish({ ...this.#target, signal });
    const changed = difference(before, established.agreement);
    if (changed === undefined) return established;
    established.stream.destroy();
    throw changedExport(before.name, changed);
  }
}

function changedExport(name: string, what: string): SkinkError {
  const message = `Cannot go on with NBD export ${JSON.stringify(name)}: ${what}, the same export was wanted`;
  return new SkinkError("changed-export", message);
}
