import type { Incarnations } from "../shadow/ports.ts";

/**
 * What was heard of an incarnation since the last look.
 * - "turns": a sign of life.
 * - "quiet": none, and none was asked for.
 * - "silent": none, although one was asked for.
 * - "mute": its driver never gives any.
 */
export type Sign = "turns" | "quiet" | "silent" | "mute";

/** Whether an incarnation's event loop turns. Asks it only when work does not show it anyway. */
export class Heartbeat {
  readonly #incarnations: Pick<Incarnations, "ping" | "beat">;
  readonly #epoch: number;
  #beat: number | undefined;
  #askedAt: number | undefined;

  constructor(incarnations: Pick<Incarnations, "ping" | "beat">, epoch: number) {
    this.#incarnations = incarnations;
    this.#epoch = epoch;
    this.#beat = incarnations.beat(epoch);
  }

  /** When the sign of life was asked for that has not come; `undefined` when none is due. */
  get askedAt(): number | undefined {
    return this.#askedAt;
  }

  listen(): Sign {
    const beat = this.#incarnations.beat(this.#epoch);
    if (beat === undefined) return "mute";
    if (beat === this.#beat) return this.#askedAt === undefined ? "quiet" : "silent";
    this.#beat = beat;
    this.#askedAt = undefined;
    return "turns";
  }

  /** Asks for a sign of life, unless one is due. `now`: the judge's time. */
  ask(now: number): void {
    if (this.#askedAt !== undefined || this.#beat === undefined) return;
    this.#askedAt = now;
    this.#incarnations.ping(this.#epoch);
  }
}
