import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { type Change, type Content, SectorHistory } from "./history.ts";
import type { Wrong } from "./wrong.ts";

const SECTOR_BYTES = 512;
const ZEROES = new Uint8Array(SECTOR_BYTES);

function historyOf(sectors: number, options: { readonly sectorBytes?: number; readonly mayMix?: boolean } = {}) {
  return new SectorHistory({ sectors, sectorBytes: SECTOR_BYTES, ...options });
}

/** A change that is acknowledged at once. */
function done(history: SectorHistory, content: Content, sector: number, count = 1): Change {
  const change = history.begin(content, sector, count);
  history.acknowledged(change);
  return change;
}

function found(history: SectorHistory, sector: number, bytes: Uint8Array): readonly Wrong[] {
  return history.endRead(history.beginRead(sector, bytes.length / history.sectorBytes), bytes);
}

function kinds(wrongs: readonly Wrong[]): string[] {
  return wrongs.map(({ kind }) => kind);
}

test("a value that was overwritten before the read began is a lost write", () => {
  const history = historyOf(1);
  const older = done(history, "stamp", 0);
  const newer = history.begin("stamp", 0, 1);
  const during = history.beginRead(0, 1);
  history.acknowledged(newer);
  assert.deepEqual(history.endRead(during, history.stamped(older)), []);
  assert.deepEqual(found(history, 0, history.stamped(newer)), []);
  const [wrong] = found(history, 0, history.stamped(older));
  assert.equal(wrong?.kind, "lost");
  assert.match(wrong?.description ?? "", /^Sector 0 holds change \d+ of sector 0, change \d+ was wanted$/);
});

test("zeroes where a write was acknowledged are a lost write, also after a failed one", () => {
  const history = historyOf(2);
  done(history, "stamp", 0, 2);
  history.failed(history.begin("stamp", 1, 1));
  assert.deepEqual(kinds(found(history, 0, new Uint8Array(2 * SECTOR_BYTES))), ["lost", "lost"]);
});

test("of two changes at the same time either may stay, and no mixture of them", () => {
  const history = historyOf(1);
  const one = history.begin("stamp", 0, 1);
  const other = history.begin("zeroes", 0, 1);
  history.acknowledged(other);
  history.acknowledged(one);
  const reads = [history.beginRead(0, 1), history.beginRead(0, 1)] as const;
  assert.deepEqual(history.endRead(reads[0], history.stamped(one)), []);
  assert.deepEqual(history.endRead(reads[1], ZEROES), []);
  assert.deepEqual(kinds(found(history, 0, history.stamped(one).fill(0, 256))), ["torn"]);
});

test("a mixture of what a sector may hold passes where requests may run into each other, and no other one", () => {
  const history = historyOf(1, { mayMix: true });
  const old = done(history, "stamp", 0);
  const one = history.begin("stamp", 0, 1);
  const other = history.begin("zeroes", 0, 1);
  history.acknowledged(other);
  history.acknowledged(one);
  assert.deepEqual(found(history, 0, history.stamped(one).fill(0, 256)), []);
  const stale = history.stamped(one);
  stale.set(history.stamped(old).subarray(256), 256);
  assert.deepEqual(kinds(found(history, 0, stale)), ["torn"]);
});

test("a failed change may show up at any time, until a later one is acknowledged", () => {
  const history = historyOf(1);
  const old = done(history, "stamp", 0);
  const failed = history.begin("stamp", 0, 1);
  history.failed(failed);
  assert.deepEqual(found(history, 0, history.stamped(old)), []);
  assert.deepEqual(found(history, 0, history.stamped(failed)), []);
  assert.deepEqual(found(history, 0, history.stamped(old)), []);
  history.failed(history.begin("stamp", 0, 1));
  assert.deepEqual(found(history, 0, history.stamped(failed)), []);
  done(history, "stamp", 0);
  assert.deepEqual(kinds(found(history, 0, history.stamped(failed))), ["lost"]);
});

test("zeroes that may be those of a later change don't tell which of two came last", () => {
  const history = historyOf(1);
  const one = history.begin("zeroes", 0, 1);
  const other = history.begin("stamp", 0, 1);
  history.acknowledged(other);
  history.acknowledged(one);
  const read = history.beginRead(0, 1);
  const later = history.begin("zeroes", 0, 1);
  assert.deepEqual(history.endRead(read, ZEROES), []);
  history.failed(later);
  assert.deepEqual(found(history, 0, history.stamped(other)), []);
});

test("another sector's stamp is misdirected, and a trimmed sector may hold anything", () => {
  const history = historyOf(2);
  const first = history.stamped(done(history, "stamp", 0, 2)).slice(0, SECTOR_BYTES);
  assert.deepEqual(kinds(found(history, 1, first)), ["misdirected"]);
  done(history, "stamp", 1);
  done(history, "unspecified", 1);
  assert.deepEqual(found(history, 1, first), []);
  done(history, "stamp", 1);
  assert.deepEqual(kinds(found(history, 1, first)), ["misdirected"]);
});

test("another load's stamps are corrupt, and those of changes that there have not been yet", () => {
  const history = new SectorHistory({ sectors: 1, sectorBytes: SECTOR_BYTES, salt: 1 });
  const other = new SectorHistory({ sectors: 1, sectorBytes: SECTOR_BYTES, salt: 2 });
  assert.deepEqual(kinds(found(history, 0, other.stamped(done(other, "stamp", 0)))), ["corrupt"]);
  const later = new SectorHistory({ sectors: 1, sectorBytes: SECTOR_BYTES, salt: 1 });
  for (let i = 0; i < 10; i++) done(later, "stamp", 0);
  done(history, "stamp", 0);
  assert.deepEqual(kinds(found(history, 0, later.stamped(done(later, "stamp", 0)))), ["corrupt"]);
});

test("a wrong sector counts once, until a change that is begun later is acknowledged", () => {
  const history = historyOf(1);
  done(history, "stamp", 0);
  const meanwhile = history.begin("stamp", 0, 1);
  assert.equal(found(history, 0, ZEROES).length, 1);
  assert.equal(found(history, 0, ZEROES).length, 0);
  history.acknowledged(meanwhile);
  assert.equal(found(history, 0, ZEROES).length, 0);
  done(history, "stamp", 0);
  assert.equal(found(history, 0, ZEROES).length, 1);
});

test("a flipped bit is found, anywhere and in sectors of each size", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 7 }), fc.nat(), fc.boolean(), (power, bit, isZeroed) => {
      const sectorBytes = 512 << power;
      const history = historyOf(2, { sectorBytes });
      const change = done(history, isZeroed ? "zeroes" : "stamp", 0, 2);
      const bytes = isZeroed ? new Uint8Array(2 * sectorBytes) : history.stamped(change);
      const place = bit % (bytes.length * 8);
      bytes[place >> 3] = (bytes[place >> 3] as number) ^ (1 << (place & 7));
      const [wrong, ...others] = found(history, 0, bytes);
      assert.deepEqual([wrong?.kind, wrong?.sector, others.length], ["corrupt", place >> 3 < sectorBytes ? 0 : 1, 0]);
    }),
  );
});

test("the same bit flipped all over a sector is found", () => {
  const history = historyOf(1);
  const bytes = history.stamped(done(history, "stamp", 0)).map((byte) => byte ^ 1);
  assert.deepEqual(kinds(found(history, 0, bytes)), ["corrupt"]);
});

test("bytes that start at an odd place of their buffer are read as well", () => {
  const history = historyOf(1);
  const moved = new Uint8Array(SECTOR_BYTES + 1).subarray(1);
  moved.set(history.stamped(done(history, "stamp", 0)));
  assert.deepEqual(found(history, 0, moved), []);
});

test("whether a flush, or FUA, had promised what is lost", () => {
  const history = historyOf(4);
  const first = done(history, "stamp", 0, 4);
  const token = history.flushBegun();
  done(history, "stamp", 1);
  done(history, "stamp", 2);
  history.flushAcknowledged(token);
  history.acknowledged(history.begin("stamp", 3, 1), true);
  assert.deepEqual(lies(found(history, 0, ZEROES)), [true]);
  // The second write of these was acknowledged after the flush had begun.
  assert.deepEqual(lies(found(history, 1, ZEROES)), [true]);
  assert.deepEqual(lies(found(history, 2, history.stamped(first).subarray(1024, 1536))), [false]);
  assert.deepEqual(lies(found(history, 3, history.stamped(first).subarray(1536))), [true]);
});

test("after a power cut what was flushed is there, or something later", () => {
  const history = historyOf(2);
  const first = done(history, "stamp", 0, 2);
  history.flushAcknowledged(history.flushBegun());
  const second = done(history, "stamp", 0, 2);
  const medium = history.stamped(first);
  assert.deepEqual(history.afterPowerCut(0, medium), []);
  medium.set(history.stamped(second).subarray(512), 512);
  assert.deepEqual(history.afterPowerCut(0, medium), []);
  assert.deepEqual(kinds(history.afterPowerCut(1, medium.fill(7, 512, 600).subarray(512))), ["corrupt"]);
  assert.deepEqual(lies(history.afterPowerCut(0, ZEROES)), [true]);
});

test("what has ended and overlaps nothing is forgotten, however long a change is in flight", () => {
  const history = historyOf(1);
  const garbage = new Uint8Array(SECTOR_BYTES).fill(7);
  const stuck = history.begin("stamp", 0, 1);
  for (let i = 0; i < 1000; i++) {
    const change = history.begin("stamp", 0, 1);
    if (i % 3 === 0) history.failed(change);
    else history.acknowledged(change);
  }
  // What is wanted names all that is remembered.
  assert.match(found(history, 0, garbage)[0]?.description ?? "", /change \d+ or \d+ was wanted/);
  history.acknowledged(stuck);
  const last = done(history, "stamp", 0);
  assert.match(found(history, 0, garbage)[0]?.description ?? "", new RegExp(`, change ${last.number} was wanted`));
});

test("failed changes that overlap one another, on and on, are forgotten", () => {
  const history = historyOf(1);
  let failing = history.begin("stamp", 0, 1);
  for (let i = 0; i < 100; i++) {
    const next = history.begin("stamp", 0, 1);
    history.failed(failing);
    failing = next;
  }
  // What is wanted names all that is remembered.
  const [wrong] = found(history, 0, new Uint8Array(SECTOR_BYTES).fill(7));
  assert.match(wrong?.description ?? "", /, zeroes or \d+ or \d+ was wanted$/);
});

for (const content of ["stamp", "zeroes"] as const) {
  test(`of two changes at the same time one stays, once a read has found it: ${content}`, () => {
    const history = historyOf(1);
    const one = history.begin(content, 0, 1);
    const other = history.begin("stamp", 0, 1);
    history.acknowledged(other);
    const early = history.beginRead(0, 1);
    history.acknowledged(one);
    const bytesOf = (change: Change): Uint8Array => (change.content === "zeroes" ? ZEROES : history.stamped(change));
    // It was asked for when one of them was still under way: what it finds may change.
    assert.deepEqual(history.endRead(early, bytesOf(other)), []);
    assert.deepEqual(found(history, 0, bytesOf(one)), []);
    assert.deepEqual(found(history, 0, bytesOf(one)), []);
    const later = history.begin("stamp", 0, 1);
    assert.deepEqual(found(history, 0, history.stamped(later)), []);
    history.failed(later);
    assert.deepEqual(found(history, 0, bytesOf(one)), []);
    assert.deepEqual(found(history, 0, history.stamped(later)), []);
    const [wrong] = found(history, 0, bytesOf(other));
    assert.equal(wrong?.kind, "lost");
    const wanted = content === "zeroes" ? "zeroes" : `change ${one.number}`;
    assert.ok(wrong.description.endsWith(`, ${wanted} was wanted`), wrong.description);
  });
}

function lies(wrongs: readonly Wrong[]): boolean[] {
  return wrongs.map(({ flushed }) => flushed);
}
