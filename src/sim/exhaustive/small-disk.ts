import type { LogFile } from "../../home/log/disk-log.ts";
import { SECTOR_BYTES } from "../../home/log/format.ts";
import type { Clock } from "../../shadow/ports.ts";
import type { Life } from "../life.ts";
import type { Sector, Sectors } from "./sectors.ts";
import { type Rests, SmallStore } from "./small-store.ts";

/** The disk under a log, for the life of one front. */
export class SmallDisk {
  readonly #store: SmallStore<Sector>;
  readonly #sectors: Sectors;
  readonly #size: number;
  #writing: { readonly position: number; readonly buffers: readonly Uint8Array[] } | undefined;

  constructor(rests: Rests<Sector>, sectors: Sectors) {
    this.#store = new SmallStore(rests);
    this.#sectors = sectors;
    this.#size = rests.length * SECTOR_BYTES;
  }

  /** As `life` sees it, who may die before each call. Nothing takes any time. */
  file(clock: Clock, life: Life): LogFile {
    const store = this.#store;
    // What becomes of the calls of a dead front doesn't matter: see `rests`.
    const later = (act: () => void, done: () => void): void => {
      clock.after(0, () => {
        if (!life.alive) return;
        act();
        life.enter(done);
      });
    };
    return {
      size: this.#size,
      read: (position, length) => this.#read(position, length),
      write: (position, buffers, done) => {
        life.point(true);
        this.#writing = { position, buffers };
        later(() => {
          for (const [at, sector] of this.#inFlight()) {
            store.write(at, sector);
            store.complete(at);
          }
          this.#writing = undefined;
        }, done);
      },
      sync: (done) => {
        life.point(true);
        const mark = store.markFlush();
        later(() => store.flush(mark), done);
      },
    };
  }

  /** What is in the cache, and of each sector what the write in flight may yet bring, if anything. */
  left(): { readonly cache: Rests<Sector>; readonly inFlight: ReadonlyMap<number, Sector> } {
    return { cache: this.#store.rests(), inFlight: this.#inFlight() };
  }

  /** What the write in flight changes: what holds the same already is the same whether it arrives or not. */
  #inFlight(): Map<number, Sector> {
    const changes = new Map<number, Sector>();
    let at = (this.#writing?.position ?? 0) / SECTOR_BYTES;
    for (const buffer of this.#writing?.buffers ?? []) {
      for (let i = 0; i < buffer.length; i += SECTOR_BYTES, at++) {
        const sector = this.#sectors.of(buffer.subarray(i, i + SECTOR_BYTES));
        if (sector !== this.#store.read(at)) changes.set(at, sector);
      }
    }
    return changes;
  }

  #read(position: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i += SECTOR_BYTES) {
      const sector = this.#store.read((position + i) / SECTOR_BYTES);
      if (sector !== this.#sectors.zeroes) bytes.set(sector.bytes, i);
    }
    return bytes;
  }
}
