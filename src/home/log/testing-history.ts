import { strict as assert } from "node:assert";
import { slotBytes } from "../../block/memory.ts";
import { SeededRandom } from "../../block/random.ts";
import type { Piece } from "../../shadow/piece-map.ts";
import type { Clock } from "../../shadow/ports.ts";
import { ManualClock, SECTOR } from "../../shadow/testing.ts";
import { minimumLogBytes } from "./format.ts";
import { SimDisk } from "./testing.ts";
import { TestFront } from "./testing-front.ts";

const SECTORS = 96;
const MAX_SECTORS = 8;
export const LIMITS = { pieces: 64, requestBytes: MAX_SECTORS * SECTOR };

interface Write {
  /** Grows with each write. */
  readonly id: number;
  readonly kind: Piece["kind"];
  readonly sector: number;
  readonly sectors: number;
  /** Of its record. */
  readonly sequence: number;
  kept: boolean;
  synced: boolean;
}

/**
 * Fronts that come and go over one log, and what must be there after each of their ends: all that was kept if the front died, all that
 * was synced if the power went; and then only so many writes, in their order, with none left out.
 */
export class History {
  readonly disk: SimDisk;
  /** A new one for each front: what the one before had asked for must not happen any more. */
  clock = new ManualClock();
  readonly #random: SeededRandom;
  front: TestFront;
  #writes: Write[] = [];
  #nextId = 1;
  /** What the store holds durably: ids. */
  readonly #store: number[] = new Array(SECTORS).fill(0);
  /** Pieces that the driver refuses. */
  readonly #stuck = new Set<Piece>();

  constructor(seed: number, spare = 3 * LIMITS.requestBytes) {
    this.#random = new SeededRandom(seed);
    const size = minimumLogBytes(LIMITS) + 2 * spare;
    const clock: Clock = { now: () => this.clock.now(), after: (ms, callback) => this.clock.after(ms, callback) };
    this.disk = new SimDisk(size, { clock, random: this.#random });
    this.front = this.#newFront();
  }

  /** Some requests, flushes and time. */
  live(steps: number): void {
    for (let i = 0; i < steps; i++) {
      const draw = this.#random.below(100);
      if (draw < 60) this.#write();
      else if (draw < 70) this.#flush();
      else if (draw < 76) this.#releaseAll();
      else if (draw < 78)
        for (const piece of this.front.pieces) if (this.#random.below(8) === 0) this.#stuck.add(piece);
      if (draw < 1) this.#stuck.clear();
      this.clock.advance(this.#random.below(30) / 10);
    }
  }

  powerCut(): void {
    this.disk.powerCut();
    this.#next((write) => write.synced);
  }

  kill(): void {
    this.disk.kill();
    this.#next((write) => write.kept);
  }

  close(): void {
    let closed = false;
    this.front.log.close(() => {
      closed = true;
    });
    this.clock.advance(1000);
    assert(closed, "the log doesn't end");
    if (this.#random.below(2) === 0) this.disk.powerCut();
    this.#next(() => true);
  }

  #write(): void {
    const draw = this.#random.below(10);
    const kind = draw < 7 ? "write" : draw < 9 ? "zero" : "trim";
    const sectors = 1 + this.#random.below(MAX_SECTORS);
    const sector = this.#random.below(SECTORS - sectors + 1);
    const id = this.#nextId++;
    const fill = (bytes: Uint8Array, at: number): void => fillSector(bytes, id, at);
    const admitted = (): Piece | undefined => {
      // As admission does.
      if (this.front.pieces.size + 2 > LIMITS.pieces) return undefined;
      return this.front.write(kind, sector, sectors, fill);
    };
    let piece = admitted();
    for (const help of [() => {}, () => this.#releaseAll(), () => this.#stuck.clear(), () => this.#releaseAll()]) {
      if (piece !== undefined) break;
      help();
      this.clock.advance(500);
      piece = admitted();
    }
    assert(piece !== undefined, "a write waits for ever");
    const write: Write = { id, kind, sector, sectors, sequence: piece.note, kept: false, synced: false };
    this.#writes.push(write);
    const soFar = [...this.#writes];
    this.front.log.kept((failed) => {
      assert(!failed);
      for (const earlier of soFar) earlier.kept = true;
    });
  }

  #flush(): void {
    const soFar = [...this.#writes];
    this.front.log.sync((failed) => {
      assert(!failed);
      for (const earlier of soFar) earlier.synced = true;
    });
  }

  #releaseAll(): void {
    const ids = this.#idsAfter(this.#writes.length);
    this.front.release((piece) => {
      if (this.#stuck.has(piece)) return false;
      const first = piece.offset / SECTOR;
      for (let i = first; i < first + piece.length / SECTOR; i++)
        this.#store[i] = Math.max(this.#store[i] ?? 0, ids[i] ?? 0);
      return true;
    });
  }

  /** A new front finds what the last one left. */
  #next(isThere: (write: Write) => boolean): void {
    this.#stuck.clear();
    this.front = this.#newFront();
    const { found } = this.front;
    const count = this.#writes.filter((write) => write.sequence <= found).length;
    const missing = this.#writes.slice(count).find(isThere);
    assert(missing === undefined, `write ${missing?.id} is lost`);
    this.#writes.length = count;
    this.#compare(this.#idsAfter(count));
  }

  /** Each sector holds what it held after these writes, or, where the log has let it go, what the store has and is no older. */
  #compare(ids: readonly number[]): void {
    const covered = new Set<number>();
    for (const { offset, length, kind, payload, start } of this.front.pieces) {
      const first = offset / SECTOR;
      for (let i = first; i < first + length / SECTOR; i++) {
        covered.add(i);
        const id = ids[i] ?? 0;
        const write = this.#writes.find((other) => other.id === id);
        assert(write !== undefined, `sector ${i} is there, and was never written`);
        assert.equal(kind, write.kind, `sector ${i} is of another kind`);
        if (payload === undefined) continue;
        const expected = new Uint8Array(SECTOR);
        fillSector(expected, id, i);
        assert.deepEqual(
          slotBytes(payload, start + (i - first) * SECTOR, SECTOR),
          expected,
          `sector ${i} holds something else`,
        );
      }
    }
    for (let i = 0; i < SECTORS; i++)
      assert(
        covered.has(i) || (this.#store[i] ?? 0) >= (ids[i] ?? 0),
        `sector ${i} is neither in the log nor in the store`,
      );
  }

  /** Which write is the newest of each sector, after so many. */
  #idsAfter(count: number): number[] {
    const ids: number[] = new Array(SECTORS).fill(0);
    for (const { id, sector, sectors } of this.#writes.slice(0, count)) ids.fill(id, sector, sector + sectors);
    return ids;
  }

  #newFront(): TestFront {
    this.clock = new ManualClock();
    return new TestFront(this.disk, this.clock, LIMITS).opened();
  }
}

function fillSector(bytes: Uint8Array, id: number, sector: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < bytes.length; i += 8) {
    view.setUint32(i, id, true);
    view.setUint32(i + 4, sector, true);
  }
}
