/** Where stderr is no terminal, a line at most so often. */
const LINE_EVERY_MS = 5000;

/** One line on stderr that says what is being done now. */
export class Progress {
  #toldAt = Number.NEGATIVE_INFINITY;

  say(text: string): void {
    if (process.stderr.isTTY) {
      process.stderr.write(`\r\x1b[K${text}`);
    } else if (performance.now() - this.#toldAt >= LINE_EVERY_MS) {
      this.#toldAt = performance.now();
      process.stderr.write(`${text}\n`);
    }
  }

  /** Takes the line away. */
  clear(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  }
}
