const EVERY_MS = 1000;
/** Where nobody watches, lines are for a log. */
const LOG_EVERY_MS = 10_000;

/** Tells on stderr how far something is: in one line, written anew, where that is a terminal; else in lines now and then. */
export class Progress {
  readonly #startedAt = Date.now();
  #toldAt = this.#startedAt;

  get seconds(): number {
    return (Date.now() - this.#startedAt) / 1000;
  }

  tell(what: () => string): void {
    const { isTTY } = process.stderr;
    const now = Date.now();
    if (now - this.#toldAt < (isTTY ? EVERY_MS : LOG_EVERY_MS)) return;
    this.#toldAt = now;
    const line = `${what()}, ${this.seconds.toFixed(0)} s`;
    process.stderr.write(isTTY ? `\r\x1b[K${line}` : `${line}\n`);
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  }
}
