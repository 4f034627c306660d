/** How many recoveries are remembered. */
const REMEMBERED_RECOVERIES = 32;

/** One recovery, as the status shows it. Milliseconds. */
export interface Recovery {
  /** The incarnation that came out of it. */
  readonly epoch: number;
  readonly reason: string;
  /** From the fault being noticed until the old incarnation was reaped. */
  readonly detectMs: number;
  /** From the new one's start until its store was open. */
  readonly openMs: number;
  /** From there until everything lost was executed again. */
  readonly replayMs: number;
  /** From the fault being noticed until the device was live again, with failed attempts and delays between them. */
  readonly totalMs: number;
}

/** Takes the times of recoveries. */
export class RecoveryLog {
  #recoveries: Recovery[] = [];
  #reason: string | undefined;
  #noticedAt = 0;
  #reapedAt = 0;
  #startedAt = 0;
  #openedAt = 0;

  get recoveries(): readonly Recovery[] {
    return this.#recoveries;
  }

  /** Why it recovers; `undefined` when it doesn't. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** When the fault was noticed that is being recovered from; `undefined` when there is none. */
  get since(): number | undefined {
    return this.#reason === undefined ? undefined : this.#noticedAt;
  }

  /** A fault is noticed. The first one of a recovery gives it its reason. */
  noticed(reason: string, now: number): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#noticedAt = now;
    this.#reapedAt = now;
  }

  /** What is recovered from has got another reason. */
  renamed(reason: string): void {
    if (this.#reason !== undefined) this.#reason = reason;
  }

  reaped(now: number): void {
    this.#reapedAt = now;
  }

  started(now: number): void {
    this.#startedAt = now;
  }

  opened(now: number): void {
    this.#openedAt = now;
  }

  /** The device is live. Returns the recovery that ends with this, unless it is the first start. */
  live(epoch: number, now: number): Recovery | undefined {
    const reason = this.#reason;
    if (reason === undefined) return undefined;
    this.#reason = undefined;
    const recovery = {
      epoch,
      reason,
      detectMs: this.#reapedAt - this.#noticedAt,
      openMs: this.#openedAt - this.#startedAt,
      replayMs: now - this.#openedAt,
      totalMs: now - this.#noticedAt,
    };
    this.#recoveries = [...this.#recoveries, recovery].slice(-REMEMBERED_RECOVERIES);
    return recovery;
  }
}
