const REDRAW_MS = 100;
/** Lines for a log: at most one in so long. */
const LOG_MS = 5000;
const DEFAULT_COLUMNS = 80;

export interface ProgressOptions {
  readonly out?: NodeJS.WriteStream;
  /** More is said than anybody reads: what comes within 100 ms is left out. */
  readonly isOften?: boolean;
  /** Nothing is written where `out` is no terminal. */
  readonly isForTerminals?: boolean;
}

/** One line that says how far something is: on a terminal written over and over again; else a line now and then. */
export class Progress {
  readonly #out: NodeJS.WriteStream;
  readonly #isSilent: boolean;
  readonly #pauseMs: number;
  #saidAt = Number.NEGATIVE_INFINITY;
  #isShown = false;

  constructor({ out = process.stderr, isOften = false, isForTerminals = false }: ProgressOptions = {}) {
    this.#out = out;
    this.#isSilent = isForTerminals && !out.isTTY;
    this.#pauseMs = !out.isTTY ? LOG_MS : isOften ? REDRAW_MS : 0;
  }

  say(text: string): void {
    const { isTTY, columns = DEFAULT_COLUMNS } = this.#out;
    const now = performance.now();
    if (this.#isSilent || now - this.#saidAt < this.#pauseMs) return;
    this.#saidAt = now;
    this.#isShown = isTTY;
    // A line that wraps could not be written over.
    this.#out.write(isTTY ? `\r\x1b[K${text.slice(0, columns - 1)}` : `${text}\n`);
  }

  /** Takes a terminal's line away. */
  clear(): void {
    if (this.#isShown) this.#out.write("\r\x1b[K");
    this.#isShown = false;
  }
}
