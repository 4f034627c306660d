import type { LogWritesReader } from "../record/log-reader.ts";
import type { Range } from "./history.ts";
import { readWhole } from "./overlay.ts";
import type { CrashState } from "./state.ts";
import { BASE, type Source, WriteIndex } from "./write-index.ts";

/** Read at once, in sectors: so many sources are looked up together. */
const STRIDE_SECTORS = 128;
/** Longer ranges are taken to be different: to compare them would take longer than a check. Bytes. */
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

  /** Fills `into` with what is at `offset` in that state. Whole sectors, bytes. Waits for the disks. */
  read(state: CrashState, offset: number, into: Uint8Array): void {
    const size = this.log.sectorSize;
    const end = (offset + into.length) / size;
    for (let from = offset / size; from < end; from += STRIDE_SECTORS) {
      for (const source of this.index.sources(state, { from, to: Math.min(end, from + STRIDE_SECTORS) })) {
        this.#readSource(source, into.subarray(source.from * size - offset, source.to * size - offset));
      }
    }
  }

  /** Whether two sources have the same content in their sectors, which are the same. */
  readonly same = (a: Source, b: Source): boolean => {
    const length = this.#bytesOf(a);
    if (length > MAX_COMPARED_BYTES) return false;
    const contents = [a, b].map((source) => {
      const content = Buffer.allocUnsafe(length);
      this.#readSource(source, content);
      return content;
    }) as [Buffer, Buffer];
    return contents[0].equals(contents[1]);
  };

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
