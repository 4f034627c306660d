import type { LogWritesReader } from "../record/log-reader.ts";
import type { Range } from "./history.ts";
import { readWhole } from "./overlay.ts";
import type { CrashState } from "./state.ts";
import { stateKey } from "./state-key.ts";
import { BASE, type Source, WriteIndex } from "./write-index.ts";

/** So much of a state is compared with what else there is; all else is taken to be different: to compare it would take longer than a check. */
const MAX_COMPARED_BYTES = 1 << 20;

/** The disk that was recorded, in any state that a power cut may have left it in. Data is read from the log and the base, and not kept. */
export class RecordedDisk {
  readonly log: LogWritesReader;
  readonly index: WriteIndex;
  /** Bytes. */
  readonly size: number;
  readonly #base: number | undefined;

  /** `base`: what the disk held before, open for reading; zeroes if left out, and behind its end. It stays the caller's, as the log. */
  constructor(log: LogWritesReader, size: number, base: number | undefined) {
    this.log = log;
    this.size = size;
    this.#base = base;
    this.index = new WriteIndex(log);
  }

  /** Fills `into` with what is at `offset` in that state. Any bytes. Waits for the disks. */
  read(state: CrashState, offset: number, into: Uint8Array): void {
    const size = this.log.sectorSize;
    const range = { from: offset / size, to: (offset + into.length) / size };
    for (const source of this.index.sources(state, range)) {
      this.#readSource(source, into.subarray(source.from * size - offset, source.to * size - offset));
    }
  }

  /** A digest of what is on the disk in that state, and of the last mark: see stateKey. Waits for the disks. */
  keyOf(state: CrashState, mark: string | undefined): string {
    let left = MAX_COMPARED_BYTES;
    return stateKey(this.log, this.index, state, mark, (a, b) => {
      if (this.#isZeroes(a) && this.#isZeroes(b)) return true;
      if (this.#bytesOf(a) > left) return false;
      left -= this.#bytesOf(a);
      return this.#contentOf(a).equals(this.#contentOf(b));
    });
  }

  #contentOf(source: Source): Buffer {
    const content = Buffer.allocUnsafe(this.#bytesOf(source));
    this.#readSource(source, content);
    return content;
  }

  #isZeroes({ entry }: Source): boolean {
    return entry === BASE ? this.#base === undefined : this.log.entries[entry]?.discard === true;
  }

  #readSource({ entry, from }: Source, into: Uint8Array): void {
    const { sectorSize, entries } = this.log;
    const position = from * sectorSize;
    const change = entries[entry];
    if (entry === BASE) {
      if (this.#base === undefined) into.fill(0);
      else readWhole(this.#base, into, position);
    } else if (change?.hasData) this.log.data(change, into, position - change.offset);
    else into.fill(0);
  }

  #bytesOf({ from, to }: Range): number {
    return (to - from) * this.log.sectorSize;
  }
}
