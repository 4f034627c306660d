const NEWLINE = 10;

/** Puts lines together from chunks of any size. */
export class LineReader {
  readonly #maxBytes: number;
  /** The beginning of a line whose end has not come. */
  #parts: Buffer[] = [];
  #partBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that `chunk` (borrowed) completes, without their ends; `undefined` where one is longer than allowed. */
  push(chunk: Uint8Array): string[] | undefined {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      if (!this.#take(chunk.subarray(start, end))) return undefined;
      lines.push(Buffer.concat(this.#parts).toString("utf8"));
      this.#parts = [];
      this.#partBytes = 0;
      start = end + 1;
    }
    return this.#take(chunk.subarray(start)) ? lines : undefined;
  }

  #take(part: Uint8Array): boolean {
    this.#partBytes += part.length;
    if (this.#partBytes > this.#maxBytes) return false;
    if (part.length > 0) this.#parts.push(Buffer.from(part));
    return true;
  }
}
