import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { GARBAGE, ZEROES } from "./content.ts";
import { type Entry, History } from "./history.ts";
import { Store } from "./store.ts";
import { Violation } from "./violation.ts";

/** A history of requests to sector 0. */
class Bench {
  readonly store: Store;
  readonly history: History;
  #ids = 0;

  constructor(store = new Store(1, new SeededRandom(1)), history = new History(store)) {
    this.store = store;
    this.history = history;
  }

  arrive(kind: Entry["kind"], fua = false): Entry {
    const entry: Entry = {
      id: ++this.#ids,
      kind,
      first: 0,
      count: kind === "flush" ? 0 : 1,
      fua,
      mayTrim: false,
      fast: false,
      arrival: 0,
      arrivedAt: 0,
      repliedAt: 0,
      errno: undefined,
    };
    this.history.arrived(entry);
    return entry;
  }

  done(kind: Entry["kind"], errno = 0, fua = false): Entry {
    const entry = this.arrive(kind, fua);
    this.history.replied(entry, errno);
    return entry;
  }

  read(content: number): void {
    this.history.checkRead(this.done("read"), 0, content);
  }
}

test("a read has to return the last acknowledged write", () => {
  const bench = new Bench();
  const old = bench.done("write");
  const last = bench.done("write");
  bench.read(last.id);
  assert.throws(() => bench.read(old.id), Violation);
  assert.throws(() => bench.read(ZEROES), Violation);
});

test("a refused write leaves the old content or the new one", () => {
  const bench = new Bench();
  const older = bench.done("write");
  const old = bench.done("write");
  const refused = bench.done("write", 5);
  bench.read(old.id);
  bench.read(refused.id);
  assert.throws(() => bench.read(older.id), Violation);
});

test("a trimmed sector may hold anything but a torn one", () => {
  const bench = new Bench();
  const old = bench.done("write");
  bench.done("trim");
  bench.read(old.id);
  bench.read(ZEROES);
  assert.throws(() => bench.read(GARBAGE), Violation);
});

test("a write that arrived after a read is not seen by it", () => {
  const bench = new Bench();
  const read = bench.arrive("read");
  const write = bench.done("write");
  assert.throws(() => bench.history.checkRead(read, 0, write.id), Violation);
});

test("a flush may not be acknowledged while an acknowledged write is not durable", () => {
  const bench = new Bench();
  const write = bench.done("write");
  assert.throws(() => bench.done("flush"), Violation);
  bench.store.applyDurable(0, write.id);
  bench.done("flush");
});

test("a flush is not held to what was acknowledged after it had arrived", () => {
  const bench = new Bench();
  const flush = bench.arrive("flush");
  bench.done("write");
  bench.history.replied(flush, 0);
});

test("an acknowledged FUA write is durable, and nothing older may come over it", () => {
  const bench = new Bench();
  const old = bench.done("write");
  assert.throws(() => bench.done("write", 0, true), Violation);
  const fua = bench.arrive("write", true);
  bench.store.applyDurable(0, fua.id);
  bench.history.replied(fua, 0);
  bench.store.apply(0, old.id);
  assert.throws(() => bench.history.crashed(), Violation);
});

test("a request may be answered once", () => {
  const bench = new Bench();
  const read = bench.done("read");
  assert.throws(() => bench.history.replied(read, 0), Violation);
});

test("what a dead front has not answered may be there or not; what a read finds then is there for good", () => {
  const bench = new Bench();
  const old = bench.done("write");
  const lost = bench.arrive("write");
  bench.history.frontDied();
  bench.read(old.id);
  assert.throws(() => bench.read(lost.id), Violation);
});

test("an older content does not come back once a read has found what a dead front left", () => {
  const bench = new Bench();
  const old = bench.done("write");
  const [first, second] = [bench.arrive("write"), bench.arrive("write")];
  bench.history.frontDied();
  bench.read(first.id);
  for (const { id } of [old, second]) assert.throws(() => bench.read(id), Violation);
  bench.history.frontDied();
  bench.read(first.id);
});

test("what was acknowledged is there after a front's death, and after a power cut only if it was made durable", () => {
  const bench = new Bench();
  const durable = bench.done("write", 0);
  bench.store.applyDurable(0, durable.id);
  bench.done("flush");
  const later = bench.done("write");
  bench.history.frontDied();
  assert.throws(() => bench.read(durable.id), Violation);
  bench.history.powerFailed();
  assert.throws(() => bench.read(ZEROES), Violation);
  bench.read(durable.id);
  assert.throws(() => bench.read(later.id), Violation);
});

test("what a read has found after a power cut has to be durable from the next flush on", () => {
  const bench = new Bench();
  const [first, second] = [bench.done("write"), bench.done("write")];
  bench.history.powerFailed();
  bench.read(second.id);
  bench.store.applyDurable(0, first.id);
  assert.throws(() => bench.done("flush"), Violation);
  bench.store.applyDurable(0, second.id);
  bench.done("flush");
});

test("a reader may not be told of a write that has not been answered", () => {
  const bench = new Bench();
  const write = bench.arrive("write");
  const read = bench.done("read");
  assert.throws(() => bench.history.checkRead(read, 0, write.id), Violation);
  bench.history.replied(write, 0);
  assert.throws(() => bench.history.checkRead(read, 0, write.id), Violation);
  bench.history.checkRead(bench.done("read"), 0, write.id);
});

test("sectors that a home shelters need not be on the medium", () => {
  const store = new Store(1, new SeededRandom(1));
  const history = new History(store, () => () => true);
  const bench = new Bench(store, history);
  bench.done("write", 0, true);
  history.crashed();
});
