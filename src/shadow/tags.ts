import type { Operation } from "./operation.ts";
import type { Operation as Kind } from "./ports.ts";

/**
 * What is with the driver: one entry a submission. A tag names its entry and how often that entry has
 * been used, so that a completion that comes twice, or was invented, finds no entry of that name.
 */
export class Tags {
  readonly depth: number;
  readonly #operations: (Operation | undefined)[];
  readonly #tags: Uint32Array;
  readonly #kinds: Kind[];
  readonly #lengths: Float64Array;
  readonly #since: Float64Array;
  readonly #free: Uint16Array;
  #freeCount: number;

  constructor(depth: number) {
    this.depth = depth;
    this.#operations = new Array(depth).fill(undefined);
    this.#tags = Uint32Array.from({ length: depth }, (_, entry) => entry);
    this.#kinds = new Array(depth).fill("read");
    this.#lengths = new Float64Array(depth);
    this.#since = new Float64Array(depth);
    this.#free = Uint16Array.from({ length: depth }, (_, entry) => depth - 1 - entry);
    this.#freeCount = depth;
  }

  get outstanding(): number {
    return this.depth - this.#freeCount;
  }

  /** The tag for a part of `length` bytes, submitted at the time `now`. There must be a free one. */
  take(operation: Operation, kind: Kind, length: number, now: number): number {
    const entry = this.#free[--this.#freeCount] as number;
    const tag = ((this.#tags[entry] as number) + this.depth) >>> 0;
    this.#tags[entry] = tag;
    this.#operations[entry] = operation;
    this.#kinds[entry] = kind;
    this.#lengths[entry] = length;
    this.#since[entry] = now;
    return tag;
  }

  /** The operation of a tag that is out; `undefined` for any other number. */
  find(tag: number): Operation | undefined {
    const entry = tag % this.depth;
    return this.#tags[entry] === tag ? this.#operations[entry] : undefined;
  }

  /** The length of the part of a tag that is out. */
  lengthOf(tag: number): number {
    return this.#lengths[tag % this.depth] as number;
  }

  kindOf(tag: number): Kind {
    return this.#kinds[tag % this.depth] as Kind;
  }

  /** When it was submitted. */
  since(tag: number): number {
    return this.#since[tag % this.depth] as number;
  }

  /** Calls `visit` for everything that is out. */
  each(visit: (operation: Operation, kind: Kind, since: number) => void): void {
    if (this.outstanding === 0) return;
    for (let entry = 0; entry < this.depth; entry++) {
      const operation = this.#operations[entry];
      if (operation !== undefined) visit(operation, this.#kinds[entry] as Kind, this.#since[entry] as number);
    }
  }

  free(tag: number): void {
    const entry = tag % this.depth;
    this.#operations[entry] = undefined;
    this.#free[this.#freeCount++] = entry;
  }
}
