/** Of each sector, the number of the version that a flush makes durable at least. */
export type FlushMark = Int32Array;

/** Of each sector the durable content, then those written since, oldest first: any one of them may be what a death leaves. */
export type Rests<Content> = readonly (readonly Content[])[];

/** A disk with a volatile cache that does no more than it must, and whose cache may have written back anything. */
export class SmallStore<Content> {
  /** Each list is replaced, and never changed: others may hold it. */
  readonly #versions: (readonly Content[])[];
  /** The number of the first one there. */
  readonly #oldest: Int32Array;
  /** Of the last one that was reported: the next flush has to make it durable. */
  readonly #completed: Int32Array;

  constructor(rests: Rests<Content>) {
    this.#versions = [...rests];
    this.#oldest = new Int32Array(rests.length);
    this.#completed = Int32Array.from(rests, (versions) => versions.length - 1);
  }

  read(sector: number): Content {
    return this.#of(sector).at(-1) as Content;
  }

  write(sector: number, content: Content): void {
    this.#versions[sector] = [...this.#of(sector), content];
  }

  writeDurably(sector: number, content: Content): void {
    this.write(sector, content);
    this.complete(sector);
    this.#forget(sector, this.#of(sector).length - 1);
  }

  /** What was written there is reported. */
  complete(sector: number): void {
    this.#completed[sector] = (this.#oldest[sector] as number) + this.#of(sector).length - 1;
  }

  /** A flush is submitted. */
  markFlush(): FlushMark {
    return this.#completed.slice();
  }

  flush(mark: FlushMark): void {
    mark.forEach((version, sector) => {
      this.#forget(sector, version - (this.#oldest[sector] as number));
    });
  }

  /** What a death may leave, now. */
  rests(): Rests<Content> {
    return [...this.#versions];
  }

  /** A death, of which nobody says what it leaves: `content` stands for it everywhere. */
  loseTo(content: Content): void {
    this.#versions.forEach((_, sector) => {
      this.writeDurably(sector, content);
    });
  }

  /** A death, before which nothing was written back. */
  loseCache(): void {
    this.#versions.forEach(([durable], sector) => {
      this.writeDurably(sector, durable as Content);
    });
  }

  /** The oldest ones of a sector. */
  #forget(sector: number, count: number): void {
    if (count <= 0) return;
    this.#versions[sector] = this.#of(sector).slice(count);
    this.#oldest[sector] = (this.#oldest[sector] as number) + count;
  }

  #of(sector: number): readonly Content[] {
    return this.#versions[sector] as readonly Content[];
  }
}
