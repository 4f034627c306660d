/** Tells how long it took to find out about strikes: of one device, whose detections come in order. */
export class StrikeClock {
  readonly #strikes: () => readonly number[];
  /** Strikes that have been found out, from the first one on. */
  #found = 0;

  /** `strikes`: when the fault has struck so far, by Date.now(), oldest first. */
  constructor(strikes: () => readonly number[]) {
    this.#strikes = strikes;
  }

  /**
   * Something was found at `at`: milliseconds since the first strike that had not been found out, `undefined` where there is none. What has
   * struck until then has been found out with it: a driver that lived through a stop or two, and is given up in the third one,
   * was ill since the first.
   */
  detected(at: number): number | undefined {
    const due = this.#strikes()
      .slice(this.#found)
      .filter((strike) => strike <= at);
    this.#found += due.length;
    const [first] = due;
    return first === undefined ? undefined : at - first;
  }
}
