import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import type { Blame } from "../block/fault.ts";
import type { Convict } from "./device.ts";
import { Bench, SECTOR } from "./testing.ts";

const QUIET_MS = 20;

/** A bench that counts deaths, and remembers who was convicted. */
class Court {
  readonly bench: Bench;
  readonly convicts: Convict[] = [];
  suspects = 0;
  deaths = 0;
  refuses = true;

  constructor(options: ConstructorParameters<typeof Bench>[0] = {}) {
    this.bench = new Bench(options);
    this.bench.device.observe({
      suspected: (count) => {
        this.suspects += count;
      },
      convicted: (convict) => {
        this.convicts.push(convict);
        return this.refuses;
      },
      erred: () => false,
      lied: () => {},
    });
  }

  /** It dies with what it has in hand, the next one opens, and its quiet is over. */
  die(blame: Blame = "requests"): void {
    this.deaths++;
    this.bench.restart({ blame });
    this.bench.clock.advance(QUIET_MS);
    this.bench.device.kick();
  }

  completeAllButFlushes(): void {
    for (;;) {
      const harmless = this.bench.link.pending.find(({ operation }) => operation !== "flush");
      if (harmless === undefined) return;
      this.bench.link.complete(harmless.operation, harmless.offset);
    }
  }

  /** Completes everything but what touches `sector`. False: only that is left, or nothing. */
  completeAllBut(sector: number): void {
    for (;;) {
      const harmless = this.bench.link.pending.find(({ offset }) => offset !== sector * SECTOR);
      if (harmless === undefined) return;
      this.bench.link.complete(harmless.operation, harmless.operation === "flush" ? undefined : harmless.offset);
    }
  }
}

test("P8: of many requests the one that kills is found, and fails alone, with EIO, after at most 5 deaths", () => {
  for (const blame of ["requests", "perhaps"] as const) {
    const court = new Court();
    const { bench } = court;
    const requests = Array.from({ length: 15 }, (_, sector) => bench.send(sector % 2 === 0 ? "write" : "read", sector));
    while (court.convicts.length === 0) {
      assert(court.deaths < 5, "too many deaths");
      if (court.deaths >= 2) court.completeAllBut(7);
      court.die(blame);
    }
    court.completeAllBut(7);
    assert.deepEqual(court.convicts, [{ operation: "read", offset: 7 * SECTOR, length: SECTOR, acknowledged: false }]);
    assert.equal(court.suspects, 15);
    for (const [sector, request] of requests.entries()) {
      assert.equal(bench.replies.get(request), sector === 7 ? ERRNO.EIO : 0, `request ${sector}`);
    }
    assert.equal(bench.device.unanswered, 0);
  }
});

test("P8: a suspect has the driver to itself, after everything that isn't suspected", () => {
  const court = new Court();
  const { bench } = court;
  for (const sector of [1, 2]) bench.send("read", sector);
  court.die();
  court.die();
  bench.send("read", 3);
  // The driver was idle until now, so it has to show that it can do anything.
  assert.equal(bench.link.pending.length, 1);
  const [control] = bench.link.pending;
  assert(control !== undefined && ![1, 2, 3].includes(control.offset / SECTOR));
  bench.link.complete("read", control.offset);
  const alone: string[][] = [];
  while (bench.link.pending.length > 0) {
    alone.push(bench.link.summary);
    bench.link.complete("read");
  }
  assert.deepEqual(alone, [[`read ${SECTOR}`], [`read ${2 * SECTOR}`], [`read ${3 * SECTOR}`]]);
});

test("P8: what is new goes on while an incarnation has to live without its suspects first", () => {
  const court = new Court();
  const { bench } = court;
  bench.send("read", 1);
  court.die();
  bench.restart({ blame: "requests" });
  assert.deepEqual(bench.link.summary, []);
  const other = bench.send("read", 2);
  bench.link.complete("read", 2 * SECTOR);
  assert.equal(bench.replies.get(other), 0);
  bench.clock.advance(QUIET_MS);
  assert.deepEqual(bench.link.summary, [`read ${SECTOR}`]);
});

test("P8: whoever kills from outside convicts nobody, as long as an incarnation also dies without its suspects", () => {
  const court = new Court();
  const { bench } = court;
  bench.send("write", 1);
  for (let kill = 0; kill < 50; kill++) {
    // Each second one is killed in its quiet, with nothing in hand.
    if (kill % 2 === 0) court.die("perhaps");
    else bench.restart({ blame: "perhaps" });
  }
  assert.deepEqual(court.convicts, []);
});

test("P8: an end that no request can have caused charges none", () => {
  const court = new Court();
  const { bench } = court;
  bench.send("write", 1);
  for (let kill = 0; kill < 10; kill++) court.die("nobody");
  assert.equal(court.suspects, 0);
  assert.deepEqual(bench.link.summary, [`write ${SECTOR}`]);
});

test("P8: of a hang only what is overdue is suspected", () => {
  const court = new Court();
  const { bench } = court;
  bench.send("read", 1);
  bench.send("write", 2);
  const isSuspected = (kind: string): boolean => kind === "read";
  for (let hang = 0; hang < 2; hang++) bench.restart({ blame: "perhaps", isSuspected });
  assert.equal(court.suspects, 1);
  assert.deepEqual(bench.link.summary, [`write ${2 * SECTOR}`]);
});

test("P8: a hang of a driver that can't do anything convicts nobody", () => {
  const court = new Court();
  court.bench.send("read", 1);
  for (let hang = 0; hang < 10; hang++) court.die("perhaps");
  assert.deepEqual(court.convicts, []);
});

test("P8: an acknowledged piece whose replay kills stays, is read from the shadow, and flushes say so", () => {
  const court = new Court();
  const { bench } = court;
  bench.done("write", 5, 1, { fill: 9 });
  bench.done("write", 6, 1, { fill: 8 });
  while (court.convicts.length === 0) {
    assert(court.deaths < 5, "too many deaths");
    court.die();
    court.completeAllBut(5);
  }
  assert.equal(court.convicts[0]?.acknowledged, true);
  assert.equal(bench.device.shadow.pieces, 2);
  assert.match(bench.device.trouble ?? "", /served from the shadow/);
  const read = bench.send("read", 5);
  bench.link.complete("read", 5 * SECTOR);
  assert.equal(bench.replies.get(read), 0);
  assert.equal(read.payload?.slots[0]?.bytes[0], 9);
  const flush = bench.send("flush");
  assert.deepEqual(bench.link.summary, ["flush"], "the piece is not offered to the driver again");
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), ERRNO.EIO);

  bench.device.pardon();
  bench.restart();
  // The other write is durable, and looked for: a read that fails says nothing.
  bench.link.complete("read", 6 * SECTOR, ERRNO.EIO);
  bench.link.complete("write", 5 * SECTOR);
  const second = bench.send("flush");
  bench.link.complete("flush");
  assert.equal(bench.replies.get(second), 0);
  assert.equal(bench.device.shadow.pieces, 0);
  assert.equal(bench.device.trouble, undefined);
});

test("P8: a flush that kills fails, and what it should have made durable stays", () => {
  const court = new Court();
  const { bench } = court;
  bench.done("write", 1);
  const flush = bench.send("flush");
  while (court.convicts.length === 0) {
    assert(court.deaths < 5, "too many deaths");
    court.die();
    court.completeAllButFlushes();
  }
  assert.equal(bench.replies.get(flush), ERRNO.EIO);
  assert.equal(bench.device.shadow.pieces, 1);
  assert.equal(bench.device.trouble, "the driver dies of flushes: what is acknowledged stays in the shadow");
  bench.device.pardon();
  assert.equal(bench.device.trouble, undefined);
});

test("P8: flushes that were convicted are asked for again soon, then more and more rarely, and one more death convicts again", () => {
  const court = new Court({ limits: { flushAgeMs: 50, flushRetryMs: 1000 } });
  const { bench } = court;
  bench.done("write", 1);
  bench.send("flush");
  while (court.convicts.length === 0) {
    court.die();
    court.completeAllButFlushes();
  }
  const flushIsAskedFor = (): boolean => {
    bench.device.kick();
    court.completeAllButFlushes();
    return bench.link.pending.some(({ operation }) => operation === "flush");
  };
  let before = 0;
  for (let round = 1; round <= 3; round++) {
    court.die("nobody");
    let waited = 0;
    for (; !flushIsAskedFor(); waited += 50) bench.clock.advance(50);
    assert(waited > before && waited < 10_000, `it waited ${waited} ms, ${before} the time before`);
    before = waited;
    court.die();
    assert.equal(court.convicts.length, 1 + round);
  }
});

test("P8: an incarnation that is ended without a flush in hand frees flushes from suspicion", () => {
  const court = new Court();
  const { bench } = court;
  bench.done("write", 1);
  bench.send("flush");
  while (court.convicts.length === 0) {
    court.die("perhaps");
    court.completeAllButFlushes();
  }
  court.die("perhaps");
  court.completeAllButFlushes();
  bench.done("flush");
  assert.equal(bench.device.shadow.pieces, 0);
});

test("P8: where a flush has killed, a stop tries one again once that is forgiven", () => {
  const court = new Court();
  const { bench } = court;
  bench.done("write", 1);
  bench.send("flush");
  while (court.convicts.length === 0) {
    assert(court.deaths < 5, "too many deaths");
    court.die();
    court.completeAllButFlushes();
  }
  bench.device.pardon();
  bench.restart({ blame: "nobody" });
  court.completeAllButFlushes();
  let isIdle = false;
  bench.device.quiesce(() => {
    isIdle = true;
  });
  bench.link.complete("flush");
  bench.device.kick();
  assert.equal(isIdle, true);
  assert.equal(bench.device.shadow.pieces, 0);
});

test("P8: a flush that hangs where nothing else happens is found, after a read that shows that the driver can", () => {
  const court = new Court();
  const { bench } = court;
  bench.done("write", 1);
  bench.device.pardon();
  const flush = bench.send("flush");
  while (court.convicts.length === 0) {
    assert(court.deaths < 6, "too many deaths");
    court.die("perhaps");
    while (bench.link.pending.some(({ operation }) => operation !== "flush")) {
      const [first] = bench.link.pending;
      bench.link.complete(first?.operation ?? "read", first?.offset);
    }
  }
  assert.equal(bench.replies.get(flush), ERRNO.EIO);
});

test("P8: where the read that should show that the driver can kills as well, it is done without", () => {
  const court = new Court();
  const { bench } = court;
  const read = bench.send("read", 1);
  while (court.convicts.length === 0) {
    assert(court.deaths < 8, "too many deaths");
    court.die();
  }
  assert.equal(bench.replies.get(read), ERRNO.EIO);
});

test("P8: an acknowledged trim whose replay kills has had its effect", () => {
  const court = new Court();
  const { bench } = court;
  bench.done("trim", 5);
  bench.done("write", 6);
  while (court.convicts.length === 0) {
    assert(court.deaths < 5, "too many deaths");
    court.die();
    court.completeAllBut(5);
  }
  court.completeAllBut(5);
  bench.restart();
  court.completeAllBut(5);
  assert.equal(bench.device.trouble, undefined);
  const flush = bench.send("flush");
  bench.link.complete("flush");
  assert.equal(bench.replies.get(flush), 0);
});

test("P8: where another driver is to try it, a convict is not refused", () => {
  const court = new Court();
  court.refuses = false;
  const { bench } = court;
  const poison = bench.send("write", 1);
  while (court.convicts.length === 0) {
    assert(court.deaths < 5, "too many deaths");
    court.die();
    court.completeAllBut(1);
  }
  assert.equal(bench.replies.get(poison), undefined);
  bench.device.pardon();
  bench.restart();
  bench.link.complete("write", SECTOR);
  assert.equal(bench.replies.get(poison), 0);
});
