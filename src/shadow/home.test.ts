import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import type { Request } from "../block/request.ts";
import type { Home, HomeObserver, KnownStore, RemainingPiece, Remains } from "./home.ts";
import type { Piece } from "./piece-map.ts";
import { SUBMIT_FUA } from "./ports.ts";
import { Bench, type BenchOptions, GEOMETRY, HeapMemory, SECTOR } from "./testing.ts";

type Done = (failed: boolean) => void;

/** A home that mirrors what it is told, and keeps it when the test says so. */
class ManualHome implements Home {
  readonly durable: boolean;
  readonly immediate: boolean;
  fullness = 0;
  hasRoom = true;
  reserved = 0;
  observer: HomeObserver | undefined;
  readonly pieces = new Set<Piece>();
  readonly told: string[] = [];
  waiting: Done[] = [];
  syncing: Done[] = [];
  store: KnownStore | undefined;

  constructor({ durable = false, immediate = true }) {
    this.durable = durable;
    this.immediate = immediate;
  }

  observe(observer: HomeObserver): void {
    this.observer = observer;
  }

  admit(request: Request): boolean {
    if (this.hasRoom) this.reserved += request.length;
    return this.hasRoom;
  }

  leave(request: Request): void {
    this.reserved -= request.length;
  }

  put(piece: Piece): void {
    this.pieces.add(piece);
    this.told.push(`put ${piece.offset / SECTOR}+${piece.length / SECTOR}`);
  }

  cut(piece: Piece, rest: Piece | undefined): void {
    assert(this.pieces.has(piece));
    if (rest !== undefined) this.pieces.add(rest);
    this.told.push(`cut ${piece.offset / SECTOR}+${piece.length / SECTOR}`);
  }

  drop(piece: Piece): void {
    assert(this.pieces.delete(piece));
    this.told.push(`drop ${piece.offset / SECTOR}+${piece.length / SECTOR}`);
  }

  released(): void {
    this.told.push("released");
  }

  kept(done: Done): void {
    this.waiting.push(done);
  }

  sync(done: Done): void {
    this.syncing.push(done);
  }

  remember(store: KnownStore): void {
    this.store = store;
  }

  spent(): void {
    this.told.push("spent");
  }

  /** Everybody who waits gets an answer. */
  settle(failed = false): void {
    const waiting = [...this.waiting, ...this.syncing];
    this.waiting = [];
    this.syncing = [];
    for (const done of waiting) done(failed);
  }
}

function benchWith(home: ManualHome, options: BenchOptions = {}): Bench {
  return new Bench({ ...options, home });
}

test("a home is told of every change of the map, of what is new before what it takes the place of", () => {
  const home = new ManualHome({});
  const bench = benchWith(home, { geometry: { fua: true } });
  bench.done("write", 0, 8);
  bench.done("write", 2, 2);
  bench.done("zero", 0, 3);
  assert.deepEqual(home.told, ["put 0+8", "put 2+2", "cut 0+2", "put 0+3", "drop 0+2", "cut 3+1"]);
  assert.deepEqual(new Set(bench.device.shadowPieces()), home.pieces);
  bench.done("write", 5, 1, { fua: true });
  assert.deepEqual(home.told.slice(6), ["cut 4+1"], "a durable range is cut out, and not put");
  bench.done("flush");
  assert.equal(home.pieces.size, 0);
  assert.equal(home.told.at(-1), "released");
});

test("a piece lies in one slot of its payload", () => {
  const home = new ManualHome({});
  const bench = benchWith(home);
  const large = bench.send("write", 0, (5 << 20) / SECTOR);
  for (let slot = 0; slot < 5; slot++) bench.link.complete("write");
  assert.equal(bench.replies.get(large), 0);
  assert.deepEqual(
    [...home.pieces].map(({ length, start }) => [start >> 20, length >> 20]),
    [0, 1, 2, 3, 4].map((slot) => [slot, 1]),
  );
});

test("P1: a write is acknowledged once the home keeps it, and nobody reads it before", () => {
  const home = new ManualHome({ immediate: false });
  const bench = benchWith(home);
  const write = bench.send("write", 1);
  bench.link.complete("write");
  const read = bench.send("read", 1);
  const other = bench.send("read", 2);
  assert.deepEqual(bench.link.summary, [`read ${2 * SECTOR}`], "others go on");
  assert.equal(bench.replies.has(write), false);
  home.settle();
  assert.equal(bench.replies.get(write), 0);
  assert.deepEqual(bench.link.summary, [`read ${2 * SECTOR}`, `read ${SECTOR}`]);
  bench.link.complete("read", SECTOR);
  bench.link.complete("read", 2 * SECTOR);
  assert.deepEqual([bench.replies.get(read), bench.replies.get(other)], [0, 0]);
});

test("the loss of an incarnation does not concern a write that only waits for the home, but its piece is replayed", () => {
  const home = new ManualHome({ immediate: false });
  const bench = benchWith(home);
  const write = bench.send("write", 1);
  bench.link.complete("write");
  bench.restart();
  assert.deepEqual(bench.link.summary, [], "the replay comes after it in the order");
  home.settle();
  assert.equal(bench.replies.get(write), 0);
  assert.deepEqual(bench.link.summary, [`write ${SECTOR}`]);
  assert.equal(bench.replayed, 1, "the recovery isn't over");
  bench.link.complete("write");
  assert.equal(bench.replayed, 2);
});

test("P2: where the home is durable, a flush is its sync, and needs no driver", () => {
  const home = new ManualHome({ durable: true, immediate: false });
  const bench = benchWith(home);
  const write = bench.send("write", 1);
  bench.link.complete("write");
  home.settle();
  assert.equal(bench.replies.get(write), 0);
  bench.device.detach({ blame: "nobody" });
  const flush = bench.send("flush");
  assert.equal(bench.device.unanswered, 1);
  assert.equal(bench.replies.has(flush), false);
  home.settle();
  assert.equal(bench.replies.get(flush), 0);
  assert.equal(bench.device.shadow.pieces, 1, "the driver's own flush follows behind");
  bench.device.reaped();
  bench.attach();
  bench.link.complete("write");
  bench.clock.advance(6000);
  bench.link.complete("flush");
  assert.equal(bench.device.shadow.pieces, 0);
});

test("P2: where the home is durable, a FUA write is its sync, and the driver hears nothing of it", () => {
  const home = new ManualHome({ durable: true, immediate: false });
  const bench = benchWith(home, { geometry: { fua: true } });
  const write = bench.send("write", 1, 1, { fua: true });
  assert.equal((bench.link.pending[0]?.flags ?? 0) & SUBMIT_FUA, 0);
  bench.link.complete("write");
  assert.deepEqual([home.waiting.length, home.syncing.length], [0, 1]);
  home.settle();
  assert.equal(bench.replies.get(write), 0);
  assert.deepEqual(bench.link.summary, []);
  assert.equal(home.pieces.size, 1, "it is kept until the store holds it");
});

test("P6: a writer waits for room in the home", () => {
  const home = new ManualHome({});
  const bench = benchWith(home);
  home.hasRoom = false;
  const write = bench.request("write", 1);
  assert.equal(bench.device.admit(write), "wait");
  assert.equal(bench.writes.usedBytes, 0);
  let asked = 0;
  bench.device.whenRoom(write, () => asked++);
  home.hasRoom = true;
  home.observer?.room();
  bench.clock.advance(1);
  assert.equal(asked, 1);
  bench.done("write", 1);
  assert.equal(home.reserved, 0);
});

test("P6: a full home asks for a flush", () => {
  const home = new ManualHome({});
  const bench = benchWith(home);
  home.fullness = 0.6;
  bench.done("write", 1);
  assert.deepEqual(bench.link.summary, ["flush"]);
});

test("a home that has failed acknowledges nothing any more; what the shadow holds goes to the store, and reads go on", () => {
  const home = new ManualHome({ durable: true, immediate: false });
  const bench = benchWith(home);
  const before = bench.send("write", 1);
  bench.link.complete("write");
  home.settle();
  const executed = bench.send("write", 2);
  bench.link.complete("write");
  const flush = bench.send("flush");
  home.observer?.failed("its log can't be written");
  home.settle(true);
  assert.deepEqual(
    [executed, flush, before].map((request) => bench.replies.get(request)),
    [ERRNO.EIO, ERRNO.EIO, 0],
  );
  assert.match(bench.device.trouble ?? "", /can't be written/);
  assert.equal(bench.device.admit(bench.request("write", 3)), ERRNO.EIO);
  const read = bench.send("read", 1);
  bench.link.complete("read");
  assert.equal(bench.replies.get(read), 0);
  bench.clock.advance(6000);
  bench.link.complete("flush");
  assert.equal(bench.device.shadow.pieces, 0);
  bench.device.pardon();
  assert.equal(bench.device.admit(bench.request("write", 3)), ERRNO.EIO, "for good");
});

test("P1: a home that has failed is spent once the store has everything, and not before", () => {
  const home = new ManualHome({ durable: true, immediate: false });
  const bench = benchWith(home);
  bench.send("write", 1);
  bench.link.complete("write");
  home.settle();
  const late = bench.send("write", 2);
  home.observer?.failed("its log can't be written");
  bench.clock.advance(6000);
  bench.link.complete("write");
  home.settle(true);
  assert.equal(bench.replies.get(late), ERRNO.EIO);
  bench.link.complete("flush", undefined, ERRNO.EIO);
  bench.restart();
  for (const sector of [1, 2]) bench.link.complete("write", sector * SECTOR);
  bench.clock.advance(6000);
  assert.ok(!home.told.includes("spent"));
  bench.link.complete("flush");
  assert.equal(home.told.at(-1), "spent");
  bench.send("read", 1);
  bench.link.complete("read");
  assert.equal(home.told.filter((what) => what === "spent").length, 1);
});

test("a home that fails with nothing in it is spent at once", () => {
  const home = new ManualHome({ durable: true, immediate: false });
  benchWith(home);
  home.observer?.failed("its log can't be written");
  assert.deepEqual(home.told, ["spent"]);
});

test("P1: what another front has left behind is read, replayed before it is flushed, and known to be of this store", () => {
  const writes = new HeapMemory();
  const payload = writes.allocate(4096);
  assert(payload !== undefined);
  payload.slots[0]?.bytes.fill(7);
  const piece: RemainingPiece = {
    offset: SECTOR,
    length: SECTOR,
    kind: "write",
    mayTrim: false,
    payload,
    start: 512,
    note: 3,
  };
  const remains: Remains = {
    store: { geometry: GEOMETRY, epoch: 5, kind: "test", identity: "this" },
    pieces: [piece],
  };
  const home = new ManualHome({});
  const bench = new Bench({ home, writes, remains });
  assert.deepEqual(bench.mismatches, [], "a driver that gives no identity is not known to be another");
  const read = bench.send("read", 1);
  assert.deepEqual(bench.link.summary, [`write ${SECTOR}`]);
  bench.link.complete("write");
  bench.link.complete("read");
  assert.equal(bench.replies.get(read), 0);
  assert.equal(read.payload?.slots[0]?.bytes[0], 7);
  assert.equal(bench.replayed, 1);
});

test("another store than the one that the front before has served is refused, by its size or its name", () => {
  const remains: Remains = { store: { geometry: GEOMETRY, epoch: 5, kind: "test", identity: "this" }, pieces: [] };
  assert.match(new Bench({ home: new ManualHome({}), remains, geometry: { size: 4096 } }).mismatches[0] ?? "", /size/);
  const bench = new Bench({ home: new ManualHome({}), remains });
  bench.restart();
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.attach({ identity: "another" }, { kind: "test" });
  assert.match(bench.mismatches[0] ?? "", /identity is another, this was wanted/);
});

test("a home remembers what a front has to know of the store: as clients know it, and the newest epoch", () => {
  const home = new ManualHome({});
  const bench = benchWith(home);
  bench.restart();
  assert.deepEqual(home.store, { geometry: GEOMETRY, epoch: 2, kind: "test", identity: undefined });
});
