import type { Readable } from "node:stream";

/** Longer lines are cut. */
const MAX_LINE_BYTES = 1024;
/** Lines passed on at once after a silence, and then each second. */
const BURST_LINES = 200;
const LINES_PER_SECOND = 50;
const NEWLINE = 10;
/** The last that Node says of a heap that is full, before it aborts. */
const HEAP_FULL = /^FATAL ERROR: .*out of memory/;

/**
 * What a driver prints, as lines for the log. It takes everything at once, so that a driver never waits for the log,
 * and keeps at most one unfinished line of each stream: what is too long or too much is left out, and counted.
 */
export class DriverOutput {
  readonly #line: (line: string) => void;
  readonly #now: () => number;
  #allowance = BURST_LINES;
  #since: number;
  #dropped = 0;
  /** It said that its heap was full. Whoever wants to know whether it was looks at how it ended, too. */
  saidHeapFull = false;

  /** `now`: milliseconds, never going back. */
  constructor(line: (line: string) => void, now: () => number = () => performance.now()) {
    this.#line = line;
    this.#now = now;
    this.#since = now();
  }

  /** Reads one of its streams to the end, or until somebody destroys it. */
  read(readable: Readable): void {
    const stream = this.stream();
    readable.on("data", (chunk: Buffer) => stream.push(chunk));
    readable.on("error", () => {});
    readable.once("close", () => stream.end());
  }

  /** One of its streams. */
  stream(): OutputStream {
    return new OutputStream((text) => this.#pass(text));
  }

  /** Nothing more comes. */
  end(): void {
    if (this.#dropped > 0) this.#line(`… ${this.#dropped} more lines were left out`);
    this.#dropped = 0;
  }

  #pass(text: string): void {
    this.saidHeapFull ||= HEAP_FULL.test(text);
    const now = this.#now();
    this.#allowance = Math.min(BURST_LINES, this.#allowance + ((now - this.#since) / 1000) * LINES_PER_SECOND);
    this.#since = now;
    if (this.#allowance < 1) {
      this.#dropped++;
      return;
    }
    if (this.#dropped > 0) this.end();
    this.#allowance--;
    this.#line(text);
  }
}

export class OutputStream {
  readonly #pass: (text: string) => void;
  readonly #kept = Buffer.alloc(MAX_LINE_BYTES);
  #length = 0;
  #cut = false;

  constructor(pass: (text: string) => void) {
    this.#pass = pass;
  }

  /** `chunk` is borrowed. */
  push(chunk: Uint8Array): void {
    let start = 0;
    while (start < chunk.length) {
      const found = chunk.indexOf(NEWLINE, start);
      const end = found < 0 ? chunk.length : found;
      const room = Math.min(end - start, MAX_LINE_BYTES - this.#length);
      this.#kept.set(chunk.subarray(start, start + room), this.#length);
      this.#length += room;
      this.#cut ||= room < end - start;
      if (found >= 0) this.end();
      start = end + 1;
    }
  }

  /** The line is complete. */
  end(): void {
    if (this.#length > 0) this.#pass(printable(this.#kept.toString("utf8", 0, this.#length)) + (this.#cut ? "…" : ""));
    this.#length = 0;
    this.#cut = false;
  }
}

/** Calls back once: when the stream is closed, all of it having been read, or after `ms` if somebody holds it open. */
export function whenClosed(stream: Readable | null, ms: number, then: () => void): void {
  if (stream === null || stream.closed) return then();
  const done = () => {
    clearTimeout(late);
    stream.off("close", done);
    then();
  };
  const late = setTimeout(done, ms);
  stream.once("close", done);
}

/** Without what could do something to a terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => (character === "\t" ? character : ""));
}
