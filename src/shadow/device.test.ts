import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import { encodeExtents } from "../block/extents.ts";
import { Bench, SECTOR, type Submitted } from "./testing.ts";

test("P1: what was acknowledged and not flushed is written again to the next incarnation", () => {
  const bench = new Bench();
  bench.done("write", 0);
  bench.done("zero", 8);
  bench.done("trim", 16);
  const link = bench.restart();
  assert.deepEqual(link.summary, ["write 0", `zero ${8 * SECTOR}`, `trim ${16 * SECTOR}`]);
});

test("P1: what a flush made durable is not written again", () => {
  const bench = new Bench();
  bench.done("write", 0);
  bench.done("flush");
  bench.done("write", 1);
  const link = bench.restart();
  // The first submission reads the released block back, to see that it is the same store.
  assert.deepEqual(link.summary, ["read 0"]);
  assert.equal(bench.device.shadow.pieces, 1);
});

test("P1: a superseded value is never executed again", () => {
  const bench = new Bench();
  bench.done("write", 0, 4);
  bench.done("write", 1, 2);
  const link = bench.restart();
  assert.deepEqual(
    link.pending.map(({ offset, length }) => [offset / SECTOR, length / SECTOR]),
    [
      [0, 1],
      [1, 2],
      [3, 1],
    ],
  );
});

test("P1: a FUA write is cut out of the shadow and not kept, with and without the driver's help", () => {
  for (const fua of [true, false]) {
    const bench = new Bench({ geometry: { fua } });
    bench.done("write", 0, 3);
    const flushes = bench.send("write", 1, 1, { fua: true });
    bench.link.complete("write");
    assert.equal(bench.replies.has(flushes), fua);
    if (!fua) bench.link.complete("flush");
    assert.equal(bench.replies.get(flushes), 0);
    // Where the front flushed, the older write became durable with it.
    assert.equal(bench.device.shadow.pieces, fua ? 2 : 0);
  }
});

test("P2: a flush covers what completed before it was submitted, and nothing else", () => {
  const bench = new Bench();
  bench.done("write", 0);
  const late = bench.send("write", 1);
  const flush = bench.send("flush");
  bench.link.complete("write");
  assert.equal(bench.replies.get(late), 0);
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), 0);
  assert.deepEqual(
    [...bench.device.shadowPieces()].map(({ offset }) => offset),
    [SECTOR],
  );
});

test("P2: a flush is refused a place while a replayed write is missing", () => {
  const bench = new Bench();
  bench.done("write", 0);
  bench.done("write", 5);
  const link = bench.restart();
  const flush = bench.send("flush");
  link.complete("write", 0);
  assert.deepEqual(link.summary, [`write ${5 * SECTOR}`]);
  link.complete("write", 5 * SECTOR);
  assert.deepEqual(link.summary, ["flush"]);
  link.complete("flush");
  assert.equal(bench.replies.get(flush), 0);
  assert.equal(bench.device.shadow.pieces, 0);
});

test("P2: one flush is in flight, and those that come meanwhile share the next", () => {
  const bench = new Bench();
  const first = bench.send("flush");
  const second = bench.send("flush");
  const third = bench.send("flush");
  assert.deepEqual(bench.link.summary, ["flush"]);
  bench.link.complete("flush");
  assert.deepEqual(
    [first, second, third].map((flush) => bench.replies.get(flush)),
    [0, undefined, undefined],
  );
  assert.deepEqual(bench.link.summary, ["flush"]);
  bench.link.complete("flush");
  assert.deepEqual(
    [second, third].map((flush) => bench.replies.get(flush)),
    [0, 0],
  );
});

test("P2: after a failed flush everything is written again before the next one, which is honest again", () => {
  const bench = new Bench();
  bench.done("write", 0);
  const inFlight = bench.send("write", 9);
  const failing = bench.send("flush");
  const next = bench.send("flush");
  bench.link.complete("flush", undefined, ERRNO.EIO);
  assert.equal(bench.replies.get(failing), ERRNO.EIO);
  assert.equal(bench.replies.has(next), false);
  // The write in flight was issued before the failure was seen: it has to be written again, too.
  assert.deepEqual(bench.link.summary, [`write ${9 * SECTOR}`, "write 0"]);
  bench.link.complete("write", 9 * SECTOR);
  assert.equal(bench.replies.get(inFlight), 0);
  assert.deepEqual(bench.link.summary, ["write 0", `write ${9 * SECTOR}`]);
  bench.link.complete("write", 0);
  bench.link.complete("write", 9 * SECTOR);
  assert.deepEqual(bench.link.summary, ["flush"]);
  bench.link.complete("flush");
  assert.equal(bench.replies.get(next), 0);
  assert.equal(bench.device.shadow.pieces, 0);
});

test("P2: a failed FUA write counts as a failed flush", () => {
  const bench = new Bench({ geometry: { fua: true } });
  bench.done("write", 0);
  const fua = bench.send("write", 5, 1, { fua: true });
  bench.link.complete("write", 5 * SECTOR, ERRNO.EIO);
  assert.equal(bench.replies.get(fua), ERRNO.EIO);
  assert.deepEqual(bench.link.summary, ["write 0"]);
});

test("P2: a flush that overtook a failed FUA write proves nothing and is done again", () => {
  const bench = new Bench({ geometry: { fua: true } });
  bench.done("write", 0);
  bench.send("write", 5, 1, { fua: true });
  const flush = bench.send("flush");
  bench.link.complete("write", 5 * SECTOR, ERRNO.EIO);
  bench.link.complete("flush");
  assert.equal(bench.replies.has(flush), false);
  bench.link.complete("write", 0);
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), 0);
});

test("P3: conflicting requests are never in flight at once and run in order of arrival", () => {
  const bench = new Bench();
  bench.send("write", 0, 4);
  bench.send("read", 2, 4);
  bench.send("write", 5, 1);
  bench.send("read", 8, 1);
  assert.deepEqual(bench.link.summary, ["write 0", `read ${8 * SECTOR}`]);
  bench.link.complete("write", 0);
  assert.deepEqual(bench.link.summary, [`read ${8 * SECTOR}`, `read ${2 * SECTOR}`]);
  bench.link.complete("read", 2 * SECTOR);
  assert.deepEqual(bench.link.summary, [`read ${8 * SECTOR}`, `write ${5 * SECTOR}`]);
});

test("P3: a request waits for the replay of what it overlaps, and for nothing else", () => {
  const bench = new Bench();
  bench.done("write", 0);
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.send("read", 0);
  bench.send("read", 4);
  const link = bench.attach();
  assert.deepEqual(link.summary, ["write 0", `read ${4 * SECTOR}`]);
  link.complete("write");
  assert.deepEqual(link.summary, [`read ${4 * SECTOR}`, "read 0"]);
});

test("P3: requests that were in flight are issued again in their order, however often", () => {
  const bench = new Bench();
  bench.send("write", 0, 2);
  bench.send("write", 1, 2);
  bench.send("read", 2, 1);
  for (let i = 0; i < 3; i++) assert.deepEqual(bench.restart().summary, ["write 0"]);
  bench.link.complete("write");
  assert.deepEqual(bench.link.summary, [`write ${SECTOR}`]);
  bench.link.complete("write");
  // The write that has been acknowledged comes back as a piece, without what the second one cut out.
  assert.deepEqual(bench.link.summary, [`read ${2 * SECTOR}`]);
});

test("P3: a FUA writer whose flush was spoiled is written after the older piece it overlaps", () => {
  const bench = new Bench();
  bench.done("write", 0, 2);
  const flushing = bench.send("flush");
  const fua = bench.send("write", 1, 1, { fua: true });
  bench.link.complete("write");
  bench.link.complete("flush", undefined, ERRNO.EIO);
  assert.equal(bench.replies.get(flushing), ERRNO.EIO);
  assert.deepEqual(bench.link.summary, ["write 0"]);
  bench.link.complete("write", 0);
  assert.deepEqual(bench.link.summary, [`write ${SECTOR}`]);
  bench.link.complete("write", SECTOR);
  bench.link.complete("flush");
  assert.equal(bench.replies.get(fua), 0);
});

test("a refused write gets its error, is not issued again, and cuts no older piece", () => {
  const bench = new Bench();
  bench.done("write", 0, 1, { fill: 7 });
  const refused = bench.send("write", 0, 1, { fill: 8 });
  bench.link.complete("write", 0, ERRNO.ENOSPC);
  assert.equal(bench.replies.get(refused), ERRNO.ENOSPC);
  const link = bench.restart();
  assert.equal(link.pending.length, 1);
  const [piece] = bench.device.shadowPieces();
  assert.equal(piece?.payload?.slots[0]?.bytes[0], 7);
});

test("an acknowledged piece that the next incarnation refuses is read from the shadow, and flushes fail", () => {
  const bench = new Bench();
  bench.done("write", 1, 1, { fill: 9 });
  bench.restart();
  bench.link.complete("write", undefined, ERRNO.EIO);
  assert.match(bench.device.trouble ?? "", /refuses 1 acknowledged/);
  const read = bench.send("read", 0, 3);
  bench.link.complete("read");
  assert.equal(bench.replies.get(read), 0);
  const bytes = read.payload?.slots[0]?.bytes as Uint8Array;
  assert.deepEqual([bytes[0], bytes[SECTOR], bytes[2 * SECTOR - 1], bytes[2 * SECTOR]], [0, 9, 9, 0]);
  const flush = bench.send("flush");
  // It is tried once more before the flush.
  bench.link.complete("write", undefined, ERRNO.EIO);
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), ERRNO.EIO);
  const again = bench.send("flush");
  bench.link.complete("write");
  bench.link.complete("flush");
  assert.equal(bench.replies.get(again), 0);
  assert.equal(bench.device.trouble, undefined);
  assert.equal(bench.device.shadow.pieces, 0);
});

test("P1: a read is answered with the newest acknowledged content, even if the driver has thrown it away", () => {
  const bench = new Bench();
  bench.done("write", 1, 2, { fill: 9 });
  bench.done("zero", 2);
  const read = bench.send("read", 0, 4);
  for (const slot of read.payload?.slots ?? []) slot.bytes.fill(5);
  bench.link.complete("read");
  const bytes = read.payload?.slots[0]?.bytes as Uint8Array;
  assert.deepEqual(
    [0, 1, 2, 3].map((sector) => bytes[sector * SECTOR]),
    [5, 9, 0, 5],
  );
  const extents = bench.request("extents", 0, 4);
  assert.equal(bench.device.admit(extents), "admitted");
  bench.device.submit(extents);
  bench.device.kick();
  const list = extents.payload?.slots[0]?.bytes as Uint8Array;
  const count = encodeExtents([{ length: 4 * SECTOR, hole: true, zero: true }], 4 * SECTOR, list);
  assert.equal(bench.device.complete(1, bench.link.pending[0]?.tag as number, 0, count), undefined);
  assert.deepEqual(
    extents.extents?.map(({ length, hole }) => [length / SECTOR, hole]),
    [
      [1, true],
      [1, false],
      [2, true],
    ],
  );
});

test("P2: a flush that was submitted while a piece was refused fails, even if the piece is overwritten meanwhile", () => {
  const bench = new Bench();
  bench.done("write", 1);
  bench.restart();
  bench.link.complete("write", undefined, ERRNO.EIO);
  const flush = bench.send("flush");
  bench.link.complete("write", undefined, ERRNO.EIO);
  bench.send("write", 1);
  bench.link.complete("write");
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), ERRNO.EIO);
});

test("a FUA write over a refused piece, and a flush, don't wait for each other", () => {
  const bench = new Bench();
  bench.done("write", 1);
  bench.restart();
  bench.link.complete("write", undefined, ERRNO.EIO);
  const fua = bench.send("write", 1, 1, { fua: true });
  const flush = bench.send("flush");
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), ERRNO.EIO);
  const next = bench.send("flush");
  bench.link.complete("write");
  for (let i = 0; i < 2; i++) bench.link.complete("flush");
  assert.deepEqual(
    [fua, next].map((request) => bench.replies.get(request)),
    [0, ERRNO.EIO],
  );
  assert.equal(bench.device.trouble, undefined);
});

test("a replayed zero that the driver refuses is written as zeroes", () => {
  const bench = new Bench();
  bench.done("zero", 0, 4096);
  bench.restart();
  bench.link.complete("zero", undefined, ERRNO.EIO);
  assert.deepEqual(bench.link.summary, ["write 0", `write ${1 << 20}`]);
});

test("a zero that the driver does not support is written, unless it has to be fast", () => {
  const bench = new Bench();
  const plain = bench.send("zero", 0);
  bench.link.complete("zero", undefined, ERRNO.ENOTSUP);
  bench.link.complete("write", 0);
  assert.equal(bench.replies.get(plain), 0);
  const fast = bench.send("zero", 0, 1, { fast: true });
  bench.link.complete("zero", undefined, ERRNO.ENOTSUP);
  assert.equal(bench.replies.get(fast), ERRNO.ENOTSUP);
  const without = new Bench({ geometry: { zero: false } });
  assert.equal(without.replies.get(without.send("zero", 0, 1, { fast: true })), ERRNO.ENOTSUP);
  without.send("zero", 0);
  assert.deepEqual(without.link.summary, ["write 0"]);
});

test("a large request is executed in parts, acknowledged as one, and kept as a piece for each slot", () => {
  const bench = new Bench();
  const write = bench.send("write", 0, (32 << 20) / SECTOR);
  for (let part = 0; part < 32; part++) {
    assert.equal(bench.replies.has(write), false);
    bench.link.complete("write");
  }
  assert.equal(bench.replies.get(write), 0);
  assert.equal(bench.device.shadow.pieces, 32);
});

test("a zero or trim that is longer than the link takes is executed in parts and acknowledged as one", () => {
  const bench = new Bench();
  bench.link.maxEffect = 4 * SECTOR;
  for (const kind of ["zero", "trim"] as const) {
    const request = bench.send(kind, 1, 10);
    const parts = bench.link.pending.map(({ offset, length }) => [offset / SECTOR, length / SECTOR]);
    assert.deepEqual(parts, [
      [1, 4],
      [5, 4],
      [9, 2],
    ]);
    for (const [sector = 0] of parts) {
      assert.equal(bench.replies.get(request), undefined);
      bench.link.complete(kind, sector * SECTOR);
    }
    assert.equal(bench.replies.get(request), 0);
  }
});

test("a part that fails fails the request, once the others are back", () => {
  const bench = new Bench();
  const write = bench.send("write", 0, (2 << 20) / SECTOR);
  bench.link.complete("write", 0, ERRNO.EIO);
  assert.equal(bench.replies.has(write), false);
  bench.link.complete("write");
  assert.equal(bench.replies.get(write), ERRNO.EIO);
  assert.equal(bench.writes.usedBytes, 0);
});

test("P5: a completion of an unknown tag, of a used one, with a wrong length or error is a fault without effect", () => {
  const bench = new Bench();
  const write = bench.send("write", 0);
  const tag = bench.link.pending[0]?.tag as number;
  assert.equal(bench.device.complete(1, tag + 1, 0, SECTOR), "unknown-tag");
  assert.equal(bench.device.complete(1, 4_000_000_000, 0, SECTOR), "unknown-tag");
  assert.equal(bench.device.complete(1, tag, 0, SECTOR - 1), "wrong-length");
  assert.equal(bench.device.complete(1, tag, 4711, SECTOR), "unknown-error");
  assert.equal(bench.replies.has(write), false);
  bench.link.complete("write");
  assert.equal(bench.replies.get(write), 0);
  assert.equal(bench.device.complete(1, tag, 0, SECTOR), "unknown-tag");
  bench.send("write", 0);
  assert.equal(bench.device.complete(1, tag, 0, SECTOR), "unknown-tag");
});

test("P4: completions of an incarnation that was given up are counted and dropped", () => {
  const bench = new Bench();
  const write = bench.send("write", 0);
  const tag = bench.link.pending[0]?.tag as number;
  bench.restart();
  assert.equal(bench.device.complete(1, tag, 0, SECTOR), undefined);
  assert.equal(bench.replies.has(write), false);
  assert.equal(bench.device.counters.lateCompletions, 1);
});

test("P4: memory that a lost incarnation has in hand is not used again before it is reaped", () => {
  const bench = new Bench();
  const before = bench.reads.usedBytes;
  const read = bench.send("read", 0);
  bench.send("write", 8);
  bench.device.detach({ blame: "nobody" });
  bench.device.refuse(ERRNO.EIO);
  assert.equal(bench.replies.get(read), ERRNO.EIO);
  assert.equal(bench.reads.usedBytes, before + SECTOR);
  assert.equal(bench.writes.usedBytes, SECTOR);
  bench.device.reaped();
  assert.equal(bench.reads.usedBytes, before);
  assert.equal(bench.writes.usedBytes, 0);
});

test("a request that is refused while it is ready is not issued any more", () => {
  const bench = new Bench();
  for (let i = 0; i < 17; i++) bench.send("read", i);
  bench.device.refuse(ERRNO.EIO);
  assert.equal(bench.replies.size, 1);
  for (let i = 0; i < 16; i++) bench.link.complete("read");
  assert.deepEqual(bench.link.summary, []);
});

test("P6: writers wait for memory, an own flush makes room, and they are called in order", () => {
  const bench = new Bench({ writeBytes: 4 * SECTOR });
  for (let i = 0; i < 4; i++) bench.send("write", i);
  const waiting = bench.request("write", 9);
  assert.equal(bench.device.admit(waiting), "wait");
  let called = 0;
  bench.device.whenRoom(waiting, () => called++);
  for (let i = 0; i < 4; i++) bench.link.complete("write");
  assert.deepEqual(bench.link.summary, ["flush"]);
  bench.link.complete("flush");
  bench.clock.advance(0);
  assert.equal(called, 1);
  assert.equal(bench.device.admit(waiting), "admitted");
  assert.equal(bench.device.counters.ownFlushes > 0, true);
});

test("P6: where nothing can be released for stallTimeoutMs, writes and flushes get EIO and pieces stay", () => {
  const bench = new Bench({ writeBytes: SECTOR, limits: { stallTimeoutMs: 100 } });
  bench.done("write", 0);
  const flush = bench.send("flush");
  const waiting = bench.request("write", 1);
  assert.equal(bench.device.admit(waiting), "wait");
  bench.device.whenRoom(waiting, () => assert.equal(bench.device.admit(waiting), ERRNO.EIO));
  bench.clock.advance(101);
  assert.equal(bench.replies.get(flush), ERRNO.EIO);
  assert.match(bench.device.trouble ?? "", /100 ms/);
  assert.equal(bench.device.shadow.pieces, 1);
});

test("P6: flushes that succeed and release nothing, since all that is held is refused, are no reason to wait on", () => {
  const bench = new Bench({ writeBytes: SECTOR, limits: { stallTimeoutMs: 1000, flushRetryMs: 10 } });
  bench.done("write", 0);
  bench.restart();
  bench.link.complete("write", 0, ERRNO.EIO);
  const waiting = bench.request("write", 1);
  assert.equal(bench.device.admit(waiting), "wait");
  bench.device.whenRoom(waiting, () => assert.equal(bench.device.admit(waiting), ERRNO.EIO));
  for (let ms = 0; ms < 1000; ms += 10) {
    bench.clock.advance(10);
    bench.device.kick();
    while (bench.link.pending.length > 0) {
      const { operation, offset } = bench.link.pending[0] as Submitted;
      bench.link.complete(operation, offset, operation === "write" ? ERRNO.EIO : 0);
    }
  }
  assert.match(bench.device.trouble ?? "", /refuses 1 acknowledged/);
  assert.equal(bench.device.admit(waiting), ERRNO.EIO);
});

test("P6: writers who find room by the answers of others alone are not refused, however long some of them wait", () => {
  const bench = new Bench({ geometry: { fua: true }, writeBytes: 2 * SECTOR, limits: { stallTimeoutMs: 1000 } });
  const sent: number[] = [];
  const sendMore = (): void => {
    const request = bench.request("write", sent.length, 1, { fua: true });
    const verdict = bench.device.admit(request);
    if (verdict === "wait") return void bench.device.whenRoom(request, sendMore);
    assert.equal(verdict, "admitted");
    sent.push(request.offset);
    bench.device.submit(request);
    bench.device.kick();
    sendMore();
  };
  sendMore();
  for (let round = 0; round < 30; round++) {
    bench.link.complete("write");
    bench.clock.advance(100);
  }
  assert.equal(sent.length, 32);
  assert.equal(bench.device.trouble, undefined);
});

test("P6: before writers are refused, clients that keep memory for data they don't send are cut off", () => {
  const bench = new Bench({ writeBytes: SECTOR, limits: { stallTimeoutMs: 100 } });
  const silent = bench.request("write", 0);
  assert.equal(bench.device.admit(silent), "admitted");
  const waiting = bench.request("write", 1);
  assert.equal(bench.device.admit(waiting), "wait");
  let verdict: unknown;
  bench.device.whenRoom(waiting, () => {
    verdict = bench.device.admit(waiting);
  });
  bench.cutOffIdleWriters = () => {
    bench.device.abandon(silent);
    return 1;
  };
  bench.clock.advance(101);
  assert.equal(verdict, "admitted");
  assert.equal(bench.device.trouble, undefined);
});

test("P6: a device that has nothing to release any more is not stalled", () => {
  const bench = new Bench({ geometry: { fua: true }, writeBytes: SECTOR, limits: { stallTimeoutMs: 100 } });
  bench.send("write", 0, 1, { fua: true });
  const waiting = bench.request("write", 1);
  assert.equal(bench.device.admit(waiting), "wait");
  bench.device.whenRoom(waiting, () => {});
  bench.clock.advance(101);
  assert.match(bench.device.trouble ?? "", /100 ms/);
  bench.link.complete("write");
  assert.equal(bench.device.trouble, undefined);
});

test("P6: pieces age into an own flush, and a failed own flush is not repeated at once", () => {
  const bench = new Bench({ limits: { flushAgeMs: 50, flushRetryMs: 1000 } });
  bench.done("write", 0);
  bench.clock.advance(50);
  assert.deepEqual(bench.link.summary, ["flush"]);
  bench.link.complete("flush", undefined, ERRNO.EIO);
  bench.link.complete("write");
  bench.clock.advance(900);
  assert.deepEqual(bench.link.summary, []);
  bench.clock.advance(200);
  assert.deepEqual(bench.link.summary, ["flush"]);
});

test("P6: pieces that the driver refuses are tried again with pauses, and each try is one line in the log", () => {
  const bench = new Bench({ limits: { pieces: 8, flushShare: 0.5, flushAgeMs: 500, flushRetryMs: 1000 } });
  for (let i = 0; i < 4; i++) {
    bench.send("write", 2 * i);
    bench.link.complete("write");
  }
  const link = bench.restart();
  let refusals = 0;
  for (let ms = 0; ms < 10_000; ms += 100) {
    for (let left = 20; link.pending.length > 0 && left > 0; left--) {
      if (link.summary[0] === "flush") {
        link.complete("flush");
      } else {
        link.complete("write", undefined, ERRNO.ENOSPC);
        refusals++;
      }
    }
    bench.clock.advance(100);
  }
  assert(refusals >= 4 * 8 && refusals <= 4 * 12, `${refusals} writes in 10 s`);
  assert.equal(bench.errors.length, refusals / 4);
});

test("P6: pieces are limited in number", () => {
  const bench = new Bench({ limits: { pieces: 6 } });
  bench.done("write", 0);
  bench.done("write", 10);
  bench.done("write", 20);
  bench.link.complete("flush");
  for (const sector of [30, 40, 50]) bench.send("write", sector);
  assert.equal(bench.device.admit(bench.request("trim", 60)), "wait");
});

test("a new incarnation with other contents, size, block size, features or identity is another store", () => {
  const bench = new Bench();
  bench.done("write", 0, 1, { fill: 3 });
  bench.done("flush");
  const link = bench.restart();
  link.complete("read");
  assert.deepEqual(bench.mismatches, ["the block at 0, durable before, has other contents"]);
  for (const change of [{ size: 512 }, { blockSize: 4096 }, { readOnly: true }, { trim: false }]) {
    bench.device.detach({ blame: "nobody" });
    bench.device.reaped();
    bench.mismatches = [];
    bench.attach({ geometry: { ...bench.geometry, ...change } });
    assert.match(bench.mismatches[0] ?? "", /wanted/);
  }
  bench.mismatches = [];
  bench.attach({ identity: "another" });
  assert.match(bench.mismatches[0] ?? "", /identity is another/);
});

test("a block that a writer was about to change is not held against the next incarnation", () => {
  const bench = new Bench();
  bench.done("write", 0, 1, { fill: 3 });
  const flush = bench.send("flush");
  bench.send("write", 0, 1, { fill: 4 });
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), 0);
  assert.deepEqual(bench.restart().summary, ["write 0"], "nothing is read back first");
});

test("nor is a block that a refused write may have changed", () => {
  const bench = new Bench();
  bench.done("write", 0, 1, { fill: 3 });
  bench.send("write", 0, 1, { fill: 4 });
  bench.link.complete("write", 0, ERRNO.EIO);
  bench.done("flush");
  assert.deepEqual(bench.restart().summary, []);
});

test("a durable block that was written again may hold the old or the new, and nothing else", () => {
  for (const [durable, since, mismatches] of [
    [3, 4, 1],
    [0, 4, 0],
    [3, 0, 0],
  ] as const) {
    const bench = new Bench();
    bench.done("write", 0, 1, { fill: durable });
    bench.done("flush");
    bench.done("write", 0, 1, { fill: since });
    const link = bench.restart();
    assert.deepEqual(link.summary, ["read 0"], "it is read back before anything is replayed");
    // What is read here are zeroes.
    link.complete("read");
    assert.equal(bench.mismatches.length, mismatches, `${durable} is durable, ${since} was written since`);
  }
});

test("a durable block that was written again and flushed holds the new alone", () => {
  const bench = new Bench();
  bench.done("write", 0, 1, { fill: 0 });
  bench.done("flush");
  bench.done("write", 0, 1, { fill: 4 });
  bench.done("flush");
  const link = bench.restart();
  assert.deepEqual(link.summary, ["read 0"]);
  link.complete("read");
  assert.equal(bench.mismatches.length, 1);
});

test("what a trim leaves of a durable block says nothing", () => {
  const bench = new Bench();
  bench.done("write", 0, 1, { fill: 3 });
  bench.done("flush");
  bench.done("trim", 0);
  assert.deepEqual(bench.restart().summary, ["trim 0"]);
});

test("a block that only FUA writes made durable is known again, too", () => {
  for (const fua of [true, false]) {
    const bench = new Bench({ geometry: { fua } });
    bench.done("write", 3, 1, { fill: 3, fua: true });
    const link = bench.restart();
    assert.deepEqual(link.summary, [`read ${3 * SECTOR}`]);
    link.complete("read");
    assert.deepEqual(bench.mismatches, [`the block at ${3 * SECTOR}, durable before, has other contents`]);
  }
});

test("a store that has grown makes a larger device, once it has proved to be the same; it may not shrink again", () => {
  const bench = new Bench();
  const { size } = bench.geometry;
  bench.done("write", 0, 1, { fill: 3 });
  bench.done("flush");
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.attach({ geometry: { ...bench.geometry, size: size * 2 } });
  assert.equal(bench.device.geometry.size, size);
  // What can't be read speaks neither for nor against it.
  bench.link.complete("read", undefined, ERRNO.EIO);
  assert.deepEqual(bench.mismatches, []);
  assert.equal(bench.device.geometry.size, size * 2);
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.attach();
  assert.match(bench.mismatches[0] ?? "", /size is .* at least/);
});

test("the replay is over when pieces and requests of the recovery are", () => {
  const bench = new Bench();
  bench.done("write", 0);
  bench.send("read", 5);
  bench.replayed = 0;
  const link = bench.restart();
  link.complete("write");
  assert.equal(bench.replayed, 0);
  link.complete("read");
  assert.equal(bench.replayed, 1);
});

test("requests that were refused between two incarnations don't keep the second replay from being over", () => {
  const bench = new Bench();
  bench.send("read", 5);
  bench.send("flush");
  bench.restart();
  bench.device.detach({ blame: "nobody" });
  bench.device.refuse(ERRNO.EIO);
  bench.device.reaped();
  bench.device.serveAgain();
  bench.replayed = 0;
  bench.attach();
  assert.equal(bench.replayed, 1);
});

test("quiesce starts nothing new, flushes, and says when the driver has nothing in hand", () => {
  const bench = new Bench();
  bench.done("write", 0);
  const write = bench.send("write", 1);
  let idle = 0;
  bench.device.quiesce(() => idle++);
  const held = bench.send("write", 2);
  assert.deepEqual(bench.link.summary, [`write ${SECTOR}`, "flush"]);
  bench.link.complete("flush");
  bench.link.complete("write");
  assert.equal(bench.replies.get(write), 0);
  assert.equal(idle, 1);
  assert.equal(bench.replies.has(held), false);
  bench.restart();
  assert.ok(bench.link.summary.length > 0);
});

test("after quiesce has said so, nothing is submitted: no client's flush, and none of its own", () => {
  const bench = new Bench({ limits: { flushRetryMs: 100, flushAgeMs: 500 } });
  bench.done("write", 0);
  let idle = 0;
  bench.device.quiesce(() => idle++);
  bench.link.complete("flush", undefined, ERRNO.EIO);
  bench.link.complete("write");
  assert.equal(idle, 1);
  const flush = bench.send("flush");
  bench.clock.advance(1000);
  assert.deepEqual(bench.link.summary, []);
  assert.equal(idle, 1);
  const link = bench.restart();
  link.complete("write");
  link.complete("flush");
  assert.equal(bench.replies.get(flush), 0);
});

test("drain refuses newcomers with ESHUTDOWN and waits for the rest", () => {
  const bench = new Bench();
  const write = bench.send("write", 0);
  let drained = 0;
  bench.device.drain(false, () => drained++);
  assert.equal(bench.device.admit(bench.request("read", 0)), ERRNO.ESHUTDOWN);
  assert.equal(drained, 0);
  bench.link.complete("write");
  assert.equal(bench.replies.get(write), 0);
  assert.equal(drained, 1);
});

test("P7: a device that is handed over leaves newcomers to the front that comes next", () => {
  const bench = new Bench();
  const late = bench.request("write", 1);
  assert.equal(bench.device.admit(late), "admitted");
  const write = bench.send("write", 0);
  let drained = 0;
  bench.device.drain(true, () => drained++);
  for (const kind of ["read", "write", "flush"] as const) {
    assert.equal(bench.device.admit(bench.request(kind)), "wait");
  }
  bench.device.submit(late);
  bench.link.complete("write");
  assert.deepEqual([bench.replies.get(write), bench.replies.has(late), drained], [0, false, 1]);
  bench.clock.advance(6000);
  bench.link.complete("flush");
  assert.equal(bench.writes.usedBytes, 0);
});

test("a request of very many parts does not hold up the others", () => {
  const bench = new Bench({ geometry: { zero: false } });
  const sectors = bench.geometry.size / 2 / SECTOR;
  const zero = bench.send("zero", 0, sectors);
  const read = bench.send("read", sectors, 1);
  const write = bench.send("write", sectors + 1, 1);
  for (let part = 0; part < 4; part++) bench.link.complete("write");
  bench.link.complete("read");
  bench.link.complete("write", (sectors + 1) * SECTOR);
  assert.equal(bench.replies.get(read), 0);
  assert.equal(bench.replies.get(write), 0);
  while (bench.link.pending.length > 0) bench.link.complete("write");
  assert.equal(bench.replies.get(zero), 0);
});

test("P6: a flush, and a FUA write that needs one, don't wait for the end of all that the driver has to do", () => {
  const bench = new Bench({ geometry: { zero: false } });
  const sectors = bench.geometry.size / 2 / SECTOR;
  const zero = bench.send("zero", 0, sectors);
  const fua = bench.send("write", sectors, 1, { fua: true });
  const flush = bench.send("flush");
  bench.link.complete("write");
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), 0);
  bench.link.complete("write");
  bench.link.complete("write", sectors * SECTOR);
  bench.link.complete("flush");
  assert.equal(bench.replies.get(fua), 0);
  assert.equal(bench.replies.get(zero), undefined);
});

test("quiesce ends a request of many parts that has begun, and begins none", () => {
  const bench = new Bench();
  const long = bench.send("read", 0, (32 << 20) / SECTOR);
  const later = bench.send("read", 1 << 20, 1);
  let idle = 0;
  bench.device.quiesce(() => idle++);
  while (bench.link.pending.length > 0) bench.link.complete("read");
  assert.deepEqual([bench.replies.get(long), bench.replies.get(later), idle], [0, undefined, 1]);
});

test("P6: a small request does not wait behind large ones that find no memory", () => {
  const bench = new Bench();
  const large = bench.reads.limitBytes / (32 << 20);
  for (let count = 0; count < large - 1; count++) bench.send("read", count << 16, (32 << 20) / SECTOR);
  bench.send("read", 0, (16 << 20) / SECTOR);
  const waiting = bench.request("read", 0, (32 << 20) / SECTOR);
  assert.equal(bench.device.admit(waiting), "wait");
  bench.device.whenRoom(waiting, () => {});
  const alike = bench.request("read", 0, (2 << 20) / SECTOR);
  assert.equal(bench.device.admit(alike), "wait", "nobody overtakes those who wait for the same memory");
  bench.send("read", 8, 8);
});

test("a store that is not written to may lose what only writers could use", () => {
  const bench = new Bench({ geometry: { readOnly: true, fua: true } });
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.attach({ geometry: { ...bench.geometry, fua: false, trim: false, zero: false } });
  assert.deepEqual(bench.mismatches, []);
});

test("a durable block that a killed driver has torn does not make another store", () => {
  const bench = new Bench({ geometry: { blockSize: 4096 } });
  const write = bench.request("write", 0, 8);
  assert.equal(bench.device.admit(write), "admitted");
  // Of the block only its first sector is as what is read below, zeroes.
  write.payload?.slots[0]?.bytes.fill(3, SECTOR);
  bench.device.submit(write);
  bench.device.kick();
  bench.link.complete("write");
  bench.done("flush");
  const link = bench.restart();
  assert.deepEqual(link.summary, ["read 0"]);
  link.complete("read");
  assert.deepEqual(bench.mismatches, []);
});
