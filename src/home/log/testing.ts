import { strict as assert } from "node:assert";
import type { Clock, Random } from "../../shadow/ports.ts";
import type { LogFile } from "./disk-log.ts";
import { SECTOR_BYTES } from "./format.ts";

export interface SimDiskOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** An operation takes up to this long. */
  readonly maxMs?: number;
}

/**
 * A disk with a cache, under the log. What was written and not synced may be lost, sector by sector, when the power goes; of a sector
 * that was written several times, any of these may be what is left.
 */
export class SimDisk implements LogFile {
  readonly size: number;
  readonly #options: SimDiskOptions;
  /** What is read. */
  #cache: Uint8Array;
  /** What a power cut leaves at least. */
  #medium: Uint8Array;
  /** What was in a sector since the last sync, by the sector's number. */
  #versions = new Map<number, Uint8Array[]>();
  #writing: { position: number; buffers: readonly Uint8Array[] } | undefined;
  #syncing = false;
  /** Changes when whoever used it has died: what it still waits for never comes. */
  #life = 0;
  /** The next operations of this kind fail. */
  failing: "write" | "sync" | undefined;
  writes = 0;
  syncs = 0;

  constructor(size: number, options: SimDiskOptions) {
    this.size = size;
    this.#options = options;
    this.#cache = new Uint8Array(size);
    this.#medium = new Uint8Array(size);
  }

  /** All of it, as it is read. For damaging it, too, if nothing is in flight: see `settle`. */
  get bytes(): Uint8Array {
    return this.#cache;
  }

  read(position: number, length: number): Uint8Array {
    assert(position >= 0 && position + length <= this.size, "the log reads past its end");
    return this.#cache.slice(position, position + length);
  }

  write(position: number, buffers: readonly Uint8Array[], done: (error?: Error) => void): void {
    assert(this.#writing === undefined, "two writes are in flight");
    assert(position % SECTOR_BYTES === 0, "a write begins inside a sector");
    this.writes++;
    const write = { position, buffers };
    this.#writing = write;
    this.#later(() => {
      this.#writing = undefined;
      if (this.failing === "write") return done(new Error("EIO: i/o error, write"));
      this.#store(write, () => true);
      done();
    });
  }

  sync(done: (error?: Error) => void): void {
    assert(!this.#syncing, "two syncs are in flight");
    this.#syncing = true;
    this.syncs++;
    const covered = new Map([...this.#versions].map(([sector, versions]) => [sector, versions.length]));
    this.#later(() => {
      this.#syncing = false;
      if (this.failing === "sync") return done(new Error("EIO: i/o error, fdatasync"));
      this.#harden(covered);
      done();
    });
  }

  /** The front is gone. Of the write in flight any sectors are there. */
  kill(): void {
    this.#life++;
    if (this.#writing !== undefined) this.#store(this.#writing, () => this.#options.random.below(2) === 0);
    this.#writing = undefined;
    this.#syncing = false;
  }

  /** The power is gone, and the front with it. */
  powerCut(): void {
    this.kill();
    for (const [sector, versions] of this.#versions) {
      const kept = versions[this.#options.random.below(versions.length + 1)];
      if (kept !== undefined) this.#medium.set(kept, sector * SECTOR_BYTES);
    }
    this.#versions.clear();
    this.#cache = this.#medium.slice();
  }

  /** All that is there is durable. */
  settle(): void {
    this.#versions.clear();
    this.#medium = this.#cache.slice();
  }

  #later(callback: () => void): void {
    const { clock, random, maxMs = 5 } = this.#options;
    const life = this.#life;
    clock.after(random.below(maxMs * 10 + 1) / 10, () => {
      if (life === this.#life) callback();
    });
  }

  /** What the buffers hold now, which is not what they held when the write was asked for if somebody changed them meanwhile. */
  #store({ position, buffers }: { position: number; buffers: readonly Uint8Array[] }, arrives: () => boolean): void {
    let at = position;
    for (const buffer of buffers) {
      assert(buffer.length % SECTOR_BYTES === 0 && at + buffer.length <= this.size, "a write is not of whole sectors");
      for (let i = 0; i < buffer.length; i += SECTOR_BYTES) {
        const sector = buffer.slice(i, i + SECTOR_BYTES);
        // What holds the same already is the same whether it arrives or not.
        if (Buffer.compare(sector, this.#cache.subarray(at + i, at + i + SECTOR_BYTES)) === 0 || !arrives()) continue;
        const number = (at + i) / SECTOR_BYTES;
        const versions = this.#versions.get(number);
        if (versions === undefined) this.#versions.set(number, [sector]);
        else versions.push(sector);
        this.#cache.set(sector, at + i);
      }
      at += buffer.length;
    }
  }

  #harden(covered: ReadonlyMap<number, number>): void {
    for (const [sector, count] of covered) {
      const versions = this.#versions.get(sector);
      if (versions === undefined) continue;
      this.#medium.set(versions[count - 1] as Uint8Array, sector * SECTOR_BYTES);
      if (versions.length === count) this.#versions.delete(sector);
      else versions.splice(0, count);
    }
  }
}
