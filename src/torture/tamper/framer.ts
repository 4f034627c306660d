/** A parser of a stream: yields how many bytes it wants next, and is given them, its own. */
export type Parser = Generator<number, void, Buffer>;

/** Cuts what was received into the pieces that a parser asks for. */
export class Framer {
  readonly #parser: Parser;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted: number;

  constructor(parser: Parser) {
    this.#parser = parser;
    this.#wanted = wanted(parser.next());
  }

  /** `chunk` becomes the framer's. What a parser throws comes through. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return;
    let rest = Buffer.concat(this.#chunks);
    while (rest.length >= this.#wanted) {
      const piece = Buffer.from(rest.subarray(0, this.#wanted));
      rest = rest.subarray(this.#wanted);
      this.#wanted = wanted(this.#parser.next(piece));
    }
    this.#chunks = [rest];
    this.#bytes = rest.length;
  }
}

function wanted(step: IteratorResult<number, void>): number {
  return step.done === true ? Number.POSITIVE_INFINITY : step.value;
}
