/*
 * Signs of life: a line of the headers of both ring files (ring.ts).
 *
 *   written by the front                           written by the driver host
 *   128  ping: how many there were, mod 2^32       128  beat: changes with each sign of life
 *                                                  132  answered: the ping that was heard last
 *                                                  136  answeredAt: when that was, f64
 *
 * Times are milliseconds of the machine's monotonic clock, which is the same for all its processes. What a host writes
 * here is no more than a sign of life: a host that makes it up harms itself.
 */
export const PULSE_AT = 128;
/** A cache line of its own: what one side polls for work is not disturbed by it. */
export const PULSE_BYTES = 64;

const PING = PULSE_AT / 4;
const BEAT = PULSE_AT / 4;
const ANSWERED = BEAT + 1;
const ANSWERED_AT = PULSE_AT / 8 + 1;

/** The front's side, which asks. */
export class FrontPulse {
  readonly #own: Int32Array;
  readonly #peer: Int32Array;
  readonly #peerTimes: Float64Array;
  readonly #now: () => number;
  #ping = 0;
  #pingedAt = 0;
  /** The last ping was not answered yet. */
  #due = false;
  #lagMs: number | undefined;

  /** `own`: the file that the front writes; `peer`: the one that the host writes; `now`: see {@link monotonicMs}. */
  constructor(own: ArrayBuffer, peer: ArrayBuffer, now: () => number) {
    this.#own = new Int32Array(own);
    this.#peer = new Int32Array(peer);
    this.#peerTimes = new Float64Array(peer);
    this.#now = now;
  }

  /** Asks for an answer; whoever calls rings the doorbell. While one is due, that is the one that is asked for. */
  ping(): void {
    this.#hear();
    if (this.#due) return;
    this.#due = true;
    this.#pingedAt = this.#now();
    this.#ping = (this.#ping + 1) | 0;
    Atomics.store(this.#own, PING, this.#ping);
  }

  /** Changes when the host's event loop turns for the front. */
  get beat(): number {
    return Atomics.load(this.#peer, BEAT);
  }

  /** How long it took until the last ping that was answered was, in milliseconds. */
  get lagMs(): number | undefined {
    this.#hear();
    return this.#lagMs;
  }

  #hear(): void {
    if (!this.#due || Atomics.load(this.#peer, ANSWERED) !== this.#ping) return;
    this.#due = false;
    const longest = this.#now() - this.#pingedAt;
    const lag = (this.#peerTimes[ANSWERED_AT] as number) - this.#pingedAt;
    // A host may write what it wants, even what is no number.
    this.#lagMs = lag >= 0 && lag <= longest ? lag : longest;
  }
}

/** The host's side. */
export class HostPulse {
  readonly #own: Int32Array;
  readonly #times: Float64Array;
  readonly #peer: Int32Array;
  #beat = 0;

  /** `own`: the file that the host writes; `peer`: the one that the front writes. */
  constructor(own: ArrayBuffer, peer: ArrayBuffer) {
    this.#own = new Int32Array(own);
    this.#times = new Float64Array(own);
    this.#peer = new Int32Array(peer);
  }

  /** It lives. No more than a plain store: it goes with each submission. */
  beat(): void {
    this.#beat = (this.#beat + 1) | 0;
    this.#own[BEAT] = this.#beat;
  }

  /** The doorbell was heard, which may have been for a ping. */
  answer(): void {
    this.beat();
    const ping = Atomics.load(this.#peer, PING);
    if (ping === this.#own[ANSWERED]) return;
    this.#times[ANSWERED_AT] = monotonicMs();
    Atomics.store(this.#own, ANSWERED, ping);
  }
}

/** Milliseconds of the machine's clock that never goes back. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
