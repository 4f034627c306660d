import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { Store } from "./store.ts";

function newStore(seed = 1): Store {
  return new Store(4, new SeededRandom(seed));
}

function write(store: Store, sector: number, content: number): void {
  store.apply(sector, content);
  store.complete(sector);
}

test("a write is read at once and durable after the next flush", () => {
  const store = newStore();
  write(store, 1, 7);
  assert.deepEqual([store.read(1), store.durable(1)], [7, 0]);
  store.finishFlush(store.beginFlush());
  assert.equal(store.durable(1), 7);
});

test("a driver that dies loses what was not flushed", () => {
  const store = newStore();
  write(store, 0, 1);
  store.finishFlush(store.beginFlush());
  write(store, 0, 2);
  assert.deepEqual(store.afterPowerCut(0), [1, 2]);
  store.loseCache();
  assert.equal(store.read(0), 1);
});

test("a flush covers what had completed when it came, and nothing that was only applied", () => {
  const store = newStore();
  store.apply(0, 5);
  const order = store.beginFlush();
  store.complete(0);
  store.finishFlush(order);
  assert.equal(store.durable(0), 0);
});

test("after a failed flush that forgets, the next one succeeds without writing", () => {
  for (let seed = 1; seed < 50; seed++) {
    const store = newStore(seed);
    write(store, 0, 5);
    store.failFlush(store.beginFlush(), "forget");
    if (store.durable(0) === 5) continue;
    store.finishFlush(store.beginFlush());
    assert.deepEqual([store.read(0), store.durable(0)], [5, 0]);
    store.evict(0);
    assert.equal(store.read(0), 0);
    return;
  }
  assert.fail("the failed flush has always written everything");
});

test("an older content that a flush was asked for never comes over a newer durable one", () => {
  for (let seed = 1; seed < 50; seed++) {
    const store = newStore(seed);
    write(store, 0, 1);
    const order = store.beginFlush();
    store.applyDurable(0, 2);
    write(store, 0, 3);
    store.finishFlush(order);
    assert.notEqual(store.durable(0), 1);
  }
});
