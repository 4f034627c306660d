import { readSync, writeSync } from "node:fs";

/** Bytes that were written over, `from` ≤ n < `to`: `data` is in the overlay's file, at its place on the device. */
interface Run {
  readonly from: number;
  readonly to: number;
  readonly kind: "data" | "zeroes";
}

/** More of them would take too much memory: some 50 MB. */
const MAX_RUNS = 500_000;

/** What a check writes to a state that it looks at: the data in a file with holes, where it is in memory. */
export class Overlay {
  readonly #fd: number;
  /** In ascending order; they don't overlap. */
  #runs: Run[] = [];

  /** `fd`: an empty file, open for reading and writing; it stays the caller's. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  get isFull(): boolean {
    return this.#runs.length >= MAX_RUNS;
  }

  /** `offset`: bytes. */
  write(offset: number, from: Uint8Array): void {
    for (let done = 0; done < from.length; ) done += writeSync(this.#fd, from, done, from.length - done, offset + done);
    this.#set(offset, from.length, "data");
  }

  zero(offset: number, length: number): void {
    this.#set(offset, length, "zeroes");
  }

  /** Fills `into` where something was written; `below` is asked for all other ranges, in bytes. */
  read(offset: number, into: Uint8Array, below: (offset: number, into: Uint8Array) => void): void {
    const end = offset + into.length;
    let at = offset;
    const part = (from: number, to: number): Uint8Array => into.subarray(from - offset, to - offset);
    for (let index = this.#firstAfter(at); at < end; index++) {
      const run = this.#runs[index];
      const next = Math.min(run?.from ?? end, end);
      if (at < next) below(at, part(at, next));
      if (run === undefined || next === end) return;
      const from = Math.max(at, run.from);
      const to = Math.min(run.to, end);
      if (run.kind === "zeroes") part(from, to).fill(0);
      else readWhole(this.#fd, part(from, to), from);
      at = to;
    }
  }

  #set(offset: number, length: number, kind: Run["kind"]): void {
    let [from, to] = [offset, offset + length];
    const first = this.#firstAfter(from - 1);
    let last = first;
    const rest: Run[] = [];
    // What it touches is of one kind with it, or cut.
    for (; last < this.#runs.length; last++) {
      const run = this.#runs[last] as Run;
      if (run.from > to) break;
      if (run.kind === kind) [from, to] = [Math.min(from, run.from), Math.max(to, run.to)];
      else {
        if (run.from < from) rest.push({ from: run.from, to: Math.min(run.to, from), kind: run.kind });
        if (run.to > to) rest.push({ from: Math.max(run.from, to), to: run.to, kind: run.kind });
      }
    }
    const runs = [...rest.filter((run) => run.to <= from), { from, to, kind }, ...rest.filter((run) => run.from >= to)];
    this.#runs.splice(first, last - first, ...runs);
  }

  /** The first run that ends after `place`. */
  #firstAfter(place: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#runs[middle] as Run).to <= place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Past the end of the file there are zeroes. */
export function readWhole(fd: number, into: Uint8Array, position: number): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(fd, into, done, into.length - done, position + done);
    if (count === 0) {
      into.fill(0, done);
      return;
    }
    done += count;
  }
}
