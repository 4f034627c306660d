import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import type { DriverRef } from "./ports.ts";
import { Bench, DRIVER, SECTOR } from "./testing.ts";

const QUIET_MS = 20;

/** It dies with what it has in hand, the next one opens, and its quiet is over. */
function die(bench: Bench): void {
  bench.restart({ blame: "requests" });
  bench.clock.advance(QUIET_MS);
  bench.device.kick();
}

/** The driver shows that it can do anything, so that the suspect is tried. */
function passControl(bench: Bench): void {
  assert.equal(bench.link.pending.length, 1);
  bench.link.complete("read");
}

test("no flush is submitted while a suspect has the driver to itself", () => {
  const bench = new Bench();
  bench.send("write", 5);
  die(bench);
  die(bench);
  passControl(bench);
  const flush = bench.send("flush");
  assert.deepEqual(bench.link.summary, [`write ${5 * SECTOR}`]);
  bench.link.complete("write");
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), 0);
});

test("a suspect that is answered ENOTSUP, a fast zero, has been tried, and others go on", () => {
  const bench = new Bench();
  const zero = bench.send("zero", 5, 1, { fast: true });
  die(bench);
  die(bench);
  passControl(bench);
  const read = bench.send("read", 7);
  assert.deepEqual(bench.link.summary, [`zero ${5 * SECTOR}`]);
  bench.link.complete("zero", 5 * SECTOR, ERRNO.ENOTSUP);
  bench.link.complete("read", 7 * SECTOR);
  assert.equal(bench.replies.get(zero), ERRNO.ENOTSUP);
  assert.equal(bench.replies.get(read), 0);
});

test("FUA writes that wait for a flush that kills get EIO with it", () => {
  const bench = new Bench();
  const write = bench.send("write", 1, 1, { fua: true });
  let deaths = 0;
  for (; !bench.replies.has(write); deaths++) {
    assert(deaths < 5, "too many deaths");
    bench.link.complete("write");
    assert.deepEqual(bench.link.summary, ["flush"]);
    die(bench);
  }
  assert.equal(bench.replies.get(write), ERRNO.EIO);
  assert.equal(bench.device.unanswered, 0);
});

test("a block that the store is known by is not read any more when two have died of that", () => {
  const bench = new Bench();
  bench.done("write", 3);
  bench.done("flush");
  for (let deaths = 0; deaths < 2; deaths++) {
    bench.restart({ blame: "requests" });
    assert.deepEqual(bench.link.summary, [`read ${3 * SECTOR}`]);
  }
  bench.restart({ blame: "requests" });
  assert.deepEqual(bench.link.summary, []);
});

test("a block that the store is known by is not read where a request for it was with one that died", () => {
  const bench = new Bench();
  bench.done("write", 3);
  bench.done("write", 5);
  bench.done("flush");
  bench.send("read", 3);
  bench.restart({ blame: "requests" });
  assert.deepEqual(bench.link.summary, [`read ${5 * SECTOR}`]);
});

test("what a newcomer on probation says is durable does not make the store known", () => {
  const bench = new Bench({ geometry: { fua: true } });
  bench.device.doubt();
  bench.done("write", 3, 1, { fua: true });
  bench.restart();
  assert.deepEqual(bench.link.summary, [`write ${3 * SECTOR}`], "it is replayed, and no block is looked at before");
});

test("before an upgrade, no block is learned that may be lost with the driver", () => {
  for (const isHeld of [true, false]) {
    const bench = new Bench();
    if (isHeld) bench.send("write", 0);
    else bench.done("write", 0);
    let idle = false;
    bench.device.quiesce(() => {
      idle = true;
    });
    if (isHeld) {
      // It completes after the last flush was submitted, so that nothing makes it durable.
      bench.device.kick();
      bench.link.complete("write");
    }
    while (bench.link.summary.includes("flush")) bench.link.complete("flush");
    assert(idle);
    bench.device.learn(() => {});
    let reads = 0;
    for (; bench.link.pending.length > 0; reads++) {
      // What is durable is remembered anyway.
      assert(!bench.link.summary.includes("read 0"));
      bench.link.complete("read");
    }
    assert.equal(reads, 63);
    assert.equal(bench.device.shadow.pieces, isHeld ? 1 : 0);
  }
});

test("an upgrade to an empty store is found out by a single block that was durable", () => {
  const bench = new Bench();
  bench.done("write", 7, 1, { fill: 5 });
  bench.done("flush");
  let learned = false;
  bench.device.quiesce(() => {});
  bench.device.learn(() => {
    learned = true;
  });
  while (bench.link.pending.length > 0) bench.link.complete("read");
  assert(learned);
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.attach({}, { kind: "newcomer" });
  // All that it reads is zeroes.
  while (bench.mismatches.length === 0 && bench.link.pending.length > 0) bench.link.complete("read");
  assert.match(bench.mismatches[0] ?? "", /the block at 3584, durable before, has other contents/);
});

/** A device of one block, which its driver has been asked for before another one takes over; then who comes next. */
function learned(next: DriverRef): Bench {
  const bench = new Bench({ geometry: { size: SECTOR } });
  bench.device.quiesce(() => {});
  bench.device.learn(() => {});
  bench.link.complete("read");
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.attach({}, next);
  return bench;
}

test("a learned block that can't be read is read once more, and a failure that is over counts for nothing", () => {
  const bench = learned({ kind: "newcomer" });
  bench.link.complete("read", 0, ERRNO.EIO);
  assert.deepEqual([bench.link.summary, bench.mismatches], [["read 0"], []]);
  bench.link.complete("read", 0);
  assert.deepEqual([bench.mismatches, bench.replayed], [[], 2]);
});

test("a newcomer that can't read what the driver before it could has another store", () => {
  const bench = learned({ kind: "newcomer" });
  for (let i = 0; i < 2; i++) bench.link.complete("read", 0, ERRNO.EIO);
  assert.deepEqual(bench.mismatches, ["blocks all over it have other contents than before, or can't be read any more"]);
});

test("the driver that comes back since no newcomer did need not be able to read what it has read before", () => {
  const bench = learned(DRIVER);
  for (let i = 0; i < 2; i++) bench.link.complete("read", 0, ERRNO.EIO);
  assert.deepEqual([bench.link.summary, bench.mismatches, bench.replayed], [[], [], 2]);
});

test("a driver that came with another store says nothing about the name of this one", () => {
  const bench = new Bench();
  bench.done("write", 7);
  bench.done("flush");
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.attach({ identity: "another" }, { kind: "newcomer" });
  // What it has there is not what was written.
  bench.link.complete("read", 7 * SECTOR);
  assert.equal(bench.mismatches.length, 1);
  bench.device.detach({ blame: "nobody" });
  bench.device.reaped();
  bench.attach({ identity: "this" }, { kind: "newcomer" });
  assert.equal(bench.mismatches.length, 1, "its name is compared with nothing");
});

test("a driver of the same name names its store alike, or it is another store", () => {
  const bench = new Bench();
  bench.restart();
  for (const [identity, isOther] of [
    ["b", true],
    ["a", false],
    [undefined, false],
  ] as const) {
    const mismatches = bench.mismatches.length;
    bench.device.detach({ blame: "nobody" });
    bench.device.reaped();
    bench.attach({ identity: "a" }, { kind: "same" });
    bench.device.detach({ blame: "nobody" });
    bench.device.reaped();
    bench.attach({ identity }, { kind: "same" });
    assert.equal(bench.mismatches.length > mismatches, isOther, `${identity}`);
  }
});

test("before an upgrade, nothing is learned after a refused write that no flush has covered", () => {
  const bench = new Bench();
  bench.send("write", 0);
  bench.link.complete("write", 0, ERRNO.EIO);
  bench.device.quiesce(() => {});
  let learned = false;
  bench.device.learn(() => {
    learned = true;
  });
  assert(learned);
  assert.deepEqual(bench.link.summary, []);
});

test("when a newcomer is believed, a piece that is being written again stays until the next flush", () => {
  const bench = new Bench();
  bench.device.doubt();
  bench.done("write", 3);
  bench.done("flush");
  bench.send("flush");
  bench.link.complete("flush", undefined, ERRNO.EIO);
  assert.deepEqual(bench.link.summary, [`write ${3 * SECTOR}`]);
  bench.device.believe();
  assert.equal(bench.device.shadow.bytes, SECTOR);
  bench.link.complete("write");
  bench.done("flush");
  assert.equal(bench.device.shadow.bytes, 0);
});

test("an own flush that is lost with its incarnation is made up for, though no client asks for anything", () => {
  const bench = new Bench({ limits: { flushAgeMs: 500 } });
  bench.done("write", 3);
  bench.clock.advance(500);
  assert.deepEqual(bench.link.summary, ["flush"]);
  bench.restart();
  bench.link.complete("write");
  bench.clock.advance(500);
  bench.link.complete("flush");
  assert.equal(bench.device.shadow.pieces, 0);
});

test("a writer that waits for room where nothing is written any more is refused, and need not wait for ever", () => {
  const bench = new Bench({ limits: { pieces: 2 } });
  bench.done("write", 3);
  const waiting = bench.request("write", 5);
  assert.equal(bench.device.admit(waiting), "wait");
  let answer: unknown;
  bench.device.whenRoom(waiting, () => {
    answer = bench.device.admit(waiting);
  });
  bench.device.stopWriting("read-only: its drivers die");
  bench.clock.advance(0);
  assert.equal(answer, ERRNO.EPERM);
});
