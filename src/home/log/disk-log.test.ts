import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SeededRandom } from "../../block/random.ts";
import { ManualClock, SECTOR, SILENT_LOG } from "../../shadow/testing.ts";
import { DiskLog, type LogFile } from "./disk-log.ts";
import { AREA_START, areaBytes, byteOf, HEADER_BYTES, idText, minimumLogBytes, roomOf, usableBytes } from "./format.ts";
import { decodeHeader } from "./header.ts";
import { inspect } from "./inspection.ts";
import { examine } from "./recovery.ts";
import { takeUp } from "./take-up.ts";
import { SimDisk } from "./testing.ts";
import { LOG_ID, STORE, TestFront } from "./testing-front.ts";

const LIMITS = { pieces: 1000, requestBytes: 8 * SECTOR };
const SIZE = minimumLogBytes(LIMITS) + 64 * SECTOR;

interface Asked {
  readonly what: "header" | "records" | "sync";
  readonly done: (error?: Error) => void;
}

/** A file whose writes and syncs are done when the test says so. */
class StepFile implements LogFile {
  readonly size = SIZE;
  readonly bytes = new Uint8Array(SIZE);
  readonly asked: Asked[] = [];

  read(position: number, length: number): Uint8Array {
    return this.bytes.slice(position, position + length);
  }

  write(position: number, buffers: readonly Uint8Array[], done: (error?: Error) => void): void {
    const put = (error?: Error): void => {
      if (error === undefined) this.bytes.set(Buffer.concat(buffers), position);
      done(error);
    };
    this.asked.push({ what: position < AREA_START ? "header" : "records", done: put });
  }

  sync(done: (error?: Error) => void): void {
    this.asked.push({ what: "sync", done });
  }

  get waiting(): string[] {
    return this.asked.map(({ what }) => what);
  }

  /** The first of these that waits is done. */
  done(what: Asked["what"], error?: Error): void {
    const index = this.asked.findIndex((asked) => asked.what === what);
    assert(index >= 0, `no ${what} waits, but ${this.waiting}`);
    this.asked.splice(index, 1)[0]?.done(error);
  }
}

interface Stage {
  readonly clock: ManualClock;
  readonly file: StepFile;
  readonly front: TestFront;
}

const fillWith = (value: number) => (bytes: Uint8Array) => void bytes.fill(value);

/** A new log that may be written to: its headers are durable. */
function stage(): Stage {
  const clock = new ManualClock();
  const file = new StepFile();
  const front = new TestFront(file, clock, LIMITS).opened();
  clock.advance(0);
  for (const what of ["sync", "header", "sync", "header", "sync"] as const) {
    assert.deepEqual(file.waiting, [what]);
    file.done(what);
  }
  assert.deepEqual(file.waiting, []);
  return { clock, file, front };
}

/** One with a disk that does what is asked by itself. */
function onDisk(): { clock: ManualClock; disk: SimDisk; front: TestFront } {
  const clock = new ManualClock();
  const disk = new SimDisk(SIZE, { clock, random: new SeededRandom(1) });
  const front = new TestFront(disk, clock, LIMITS).opened();
  clock.advance(100);
  return { clock, disk, front };
}

function answers(): { list: string[]; of: (name: string) => (failed: boolean) => void } {
  const list: string[] = [];
  return { list, of: (name) => (failed) => void list.push(failed ? `${name} failed` : name) };
}

test("the run and the store are durable before any record is written", () => {
  const clock = new ManualClock();
  const file = new StepFile();
  const front = new TestFront(file, clock, LIMITS).opened();
  front.write("write", 0, 1, fillWith(1));
  front.log.sync(() => {});
  clock.advance(0);
  for (const what of ["sync", "header", "sync", "header"] as const) {
    assert.deepEqual(file.waiting, [what]);
    file.done(what);
  }
  assert.deepEqual(file.waiting, ["sync"], "the header with the store isn't durable yet");
  file.done("sync");
  assert.deepEqual(file.waiting, ["records"]);
});

test("the first header of all is of one sector, so that it can't be torn", () => {
  const clock = new ManualClock();
  const file = new StepFile();
  new TestFront(file, clock, LIMITS).opened();
  clock.advance(0);
  file.done("sync");
  file.done("header");
  assert.ok(file.bytes.subarray(HEADER_BYTES + SECTOR, AREA_START).every((byte) => byte === 0));
  assert.equal(examine(file).header?.sequence, 1);
});

test("what one turn puts goes out in one write, and what comes meanwhile in the next one", () => {
  const { clock, file, front } = stage();
  const { list, of } = answers();
  front.write("write", 0, 1, fillWith(1));
  front.log.kept(of("a"));
  front.write("write", 1, 1, fillWith(2));
  front.log.kept(of("b"));
  clock.advance(0);
  front.write("write", 2, 1, fillWith(3));
  front.log.kept(of("c"));
  clock.advance(0);
  assert.deepEqual(file.waiting, ["records"]);
  assert.deepEqual(list, []);
  file.done("records");
  assert.deepEqual(list, ["a", "b"]);
  assert.deepEqual(file.waiting, ["records"], "nobody has asked for a sync");
  file.done("records");
  assert.deepEqual(list, ["a", "b", "c"]);
});

test("a sync is answered by one that began when the record was written", () => {
  const { clock, file, front } = stage();
  const { list, of } = answers();
  front.write("write", 0, 1, fillWith(1));
  front.log.sync(of("a"));
  clock.advance(0);
  assert.deepEqual(file.waiting, ["records"]);
  file.done("records");
  assert.deepEqual(file.waiting, ["sync"]);
  front.write("write", 1, 1, fillWith(2));
  front.log.sync(of("b"));
  clock.advance(0);
  file.done("records");
  assert.deepEqual(file.waiting, ["sync"], "two are never in flight");
  file.done("sync");
  assert.deepEqual(list, ["a"]);
  file.done("sync");
  assert.deepEqual(list, ["a", "b"]);
});

test("with nothing to wait for, the answer comes from the event loop", () => {
  const { clock, front } = stage();
  const { list, of } = answers();
  front.log.kept(of("kept"));
  front.log.sync(of("sync"));
  assert.deepEqual(list, []);
  clock.advance(0);
  assert.deepEqual(list, ["kept", "sync"]);
});

test("a payload is kept until it is written, although its piece is gone", () => {
  const { clock, file, front } = stage();
  front.write("write", 0, 2, fillWith(0xa1));
  clock.advance(0);
  front.write("zero", 0, 2, fillWith(0));
  assert.ok(front.memory.usedBytes > 0);
  const rooms = front.rooms;
  file.done("records");
  assert.equal(front.memory.usedBytes, 0);
  assert.equal(front.rooms, rooms + 1, "those who wait for memory are told");
  assert.equal(examine(file).records[0]?.kind, "write");
});

test("a record says what was durable when it was made", () => {
  const { clock, file, front } = stage();
  for (const sector of [0, 1]) {
    front.write("write", sector, 1, fillWith(1));
    front.log.sync(() => {});
    clock.advance(0);
    file.done("records");
    file.done("sync");
  }
  assert.deepEqual(
    examine(file).records.map(({ synced }) => synced),
    [0, 1],
  );
});

test("what was synced is attested soon, by a header if no record does", () => {
  const { clock, file, front } = stage();
  front.write("write", 0, 1, fillWith(1));
  front.log.sync(() => {});
  clock.advance(0);
  file.done("records");
  file.done("sync");
  assert.deepEqual(file.waiting, []);
  clock.advance(1000);
  assert.deepEqual(file.waiting, ["header"]);
  file.done("header");
  assert.equal(examine(file).header?.synced, 1);
  clock.advance(1000);
  assert.deepEqual(file.waiting, [], "it is durable with the next sync");
});

test("no header is written while the one before is not durable", () => {
  const { clock, file, front } = stage();
  front.log.remember({ ...STORE, epoch: 8 });
  clock.advance(0);
  file.done("header");
  front.log.remember({ ...STORE, epoch: 9 });
  clock.advance(0);
  assert.deepEqual(file.waiting, ["sync"]);
  file.done("sync");
  assert.deepEqual(file.waiting, ["header"]);
  file.done("header");
  assert.equal(examine(file).header?.store?.epoch, 9);
});

test("the room of released pieces is used again only when the header that says so is durable", () => {
  const { clock, file, front } = stage();
  while (front.write("write", 0, 8, fillWith(1)) !== undefined) {}
  front.log.sync(() => {});
  clock.advance(0);
  file.done("records");
  file.done("sync");
  front.release(() => true);
  const refused = (): boolean => front.write("write", 0, 8, fillWith(2)) === undefined;
  clock.advance(0);
  assert.deepEqual(file.waiting, ["header"]);
  assert.ok(refused());
  file.done("header");
  assert.deepEqual(file.waiting, ["sync"]);
  assert.ok(refused());
  const rooms = front.rooms;
  file.done("sync");
  assert.ok(front.rooms > rooms, "those who were turned away are told");
  assert.ok(!refused());
});

test("what replaced a record is durable before the tail is behind it", () => {
  const { clock, file, front } = stage();
  front.write("write", 0, 1, fillWith(1));
  front.log.sync(() => {});
  clock.advance(0);
  file.done("records");
  file.done("sync");
  front.write("write", 0, 1, fillWith(2));
  front.log.remember({ ...STORE, epoch: 8 });
  clock.advance(0);
  while (file.asked.length > 0) file.done(file.asked[0]?.what as Asked["what"]);
  assert.equal(examine(file).header?.tail.sequence, 1);
});

test("a few pieces that the driver refuses don't stop the log: they are written anew", () => {
  const { clock, disk, front } = onDisk();
  const stuck = front.write("write", 90, 2, fillWith(0x5a));
  for (let i = 0; i < 2000; i++) {
    let written = front.write("write", 8 * (i % 10), 8, fillWith(i % 256));
    for (let tries = 0; written === undefined && tries < 10; tries++) {
      front.release((piece) => piece !== stuck);
      clock.advance(100);
      written = front.write("write", 8 * (i % 10), 8, fillWith(i % 256));
    }
    assert.ok(written !== undefined, `write ${i} finds no room`);
    clock.advance(1);
  }
  front.release((piece) => piece !== stuck);
  clock.advance(1000);
  disk.kill();
  const { records } = inspect(disk);
  assert.ok(records.some(({ offset, live }) => offset === 90 * SECTOR && live === 2 * SECTOR));
});

test("a log in which nothing lives has room for the largest request, and a live one is never over half full", () => {
  const clock = new ManualClock();
  const size = minimumLogBytes(LIMITS);
  const disk = new SimDisk(size, { clock, random: new SeededRandom(1) });
  const front = new TestFront(disk, clock, LIMITS).opened();
  for (let i = 0; i < 200; i++) {
    for (let tries = 0; tries < 5 && !front.log.admit(front.request("write", 0, 8)); tries++) {
      front.release(() => true);
      clock.advance(500);
      assert.ok(tries < 4, `request ${i} finds no room`);
    }
    front.log.leave(front.request("write", 0, 8));
    // Of odd sizes, so that the end of the area is met everywhere.
    front.write("write", 0, 1 + (i % 7), fillWith(1));
    clock.advance(10);
  }
});

test("room is reserved for who is admitted, until he leaves", () => {
  const { front } = onDisk();
  const request = front.request("write", 0, 8);
  const count = Math.floor(usableBytes(SIZE, LIMITS) / roomOf(8 * SECTOR, true));
  for (let i = 0; i < count; i++) assert.ok(front.log.admit(request));
  assert.ok(!front.log.admit(request));
  assert.ok(front.log.fullness > 0.7);
  front.log.leave(request);
  assert.ok(front.log.admit(request));
  assert.ok(front.log.admit(front.request("trim", 0, 0)), "who puts nothing needs none");
});

test("one zero that is split by many writes counts as the many records that it would take", () => {
  const { clock, front } = onDisk();
  const bytesPerSplit = roomOf(SECTOR, true);
  front.write("zero", 0, 1000, fillWith(0));
  let count = 0;
  while (front.write("write", 2 * count + 1, 1, fillWith(1)) !== undefined) {
    count++;
    clock.advance(100);
  }
  assert.ok(count <= usableBytes(SIZE, LIMITS) / bytesPerSplit);
  assert.ok(front.pieces.size > count);
});

for (const failing of ["write", "sync"] as const) {
  test(`when a ${failing} fails, all fails that waits and that comes, and nothing is written any more`, () => {
    const { clock, disk, front } = onDisk();
    const { list, of } = answers();
    disk.failing = failing;
    front.write("write", 0, 1, fillWith(1));
    if (failing === "write") front.log.kept(of("kept"));
    front.log.sync(of("sync"));
    clock.advance(100);
    const failed = failing === "write" ? ["kept failed", "sync failed"] : ["sync failed"];
    assert.deepEqual(list, failed);
    assert.match(front.failure ?? "", /^the log test.log can't be written any more: a (write|sync) failed: EIO/);
    disk.failing = undefined;
    const asked = disk.writes + disk.syncs;
    front.write("write", 1, 1, fillWith(2));
    front.log.kept(of("later"));
    front.release(() => true);
    clock.advance(1000);
    assert.deepEqual(list, [...failed, "later failed"]);
    assert.equal(disk.writes + disk.syncs, asked);
    assert.equal(front.memory.usedBytes, 0, "memory isn't kept for what is never written");
    let closed = false;
    front.log.close(() => {
      closed = true;
    });
    clock.advance(0);
    assert.ok(closed);
  });
}

/** What {@link broken} says. */
const SPENT = { id: idText(LOG_ID), run: 1 };

/** A log with one piece, which is durable, and another, of which it can't be told, since a write or sync of it failed. */
function broken(failing: "write" | "sync"): { clock: ManualClock; disk: SimDisk; front: TestFront } {
  const { clock, disk, front } = onDisk();
  front.write("write", 0, 1, fillWith(1));
  front.log.sync(() => {});
  clock.advance(100);
  disk.failing = failing;
  front.write("write", 0, 1, fillWith(2));
  front.log.sync(() => {});
  clock.advance(100);
  assert(front.failure !== undefined);
  return { clock, disk, front };
}

function isEmptyAtEnd({ log }: TestFront, clock: ManualClock): boolean | undefined {
  let isEmpty: boolean | undefined;
  log.close((is) => {
    isEmpty = is;
  });
  clock.advance(100);
  return isEmpty;
}

for (const failing of ["write", "sync"] as const) {
  for (const wellAt of ["once", "its end"] as const) {
    test(`a log whose ${failing} failed is emptied when it is spent, if its disk is well again at ${wellAt}`, () => {
      const { clock, disk, front } = broken(failing);
      if (wellAt === "once") disk.failing = undefined;
      front.log.spent();
      assert.deepEqual(front.mark, SPENT, "it is told before it is tried");
      clock.advance(100);
      if (wellAt === "once") disk.kill();
      else {
        disk.failing = undefined;
        assert.equal(isEmptyAtEnd(front, clock), true);
      }
      disk.powerCut();
      assert.deepEqual(new TestFront(disk, new ManualClock(), LIMITS).remains, []);
    });
  }

  test(`a log whose ${failing} failed, and fails again, can't be emptied, says so, and is passed over`, () => {
    const { clock, disk, front } = broken(failing);
    front.log.spent();
    assert.equal(isEmptyAtEnd(front, clock), false);
    disk.failing = undefined;
    disk.powerCut();
    assert.equal(new TestFront(disk, new ManualClock(), LIMITS).remains.length, 1);
    const another = { ...SPENT, id: idText(new Uint8Array(16)) };
    assert.equal(new TestFront(disk, new ManualClock(), LIMITS, another).remains.length, 1, "another log's");
    const next = new TestFront(disk, clock, LIMITS, SPENT).opened();
    assert.deepEqual([next.remains, next.store, next.mark], [[], STORE, undefined]);
    clock.advance(100);
    assert.equal(next.mark, "in use");
    disk.powerCut();
    assert.deepEqual(new TestFront(disk, new ManualClock(), LIMITS).remains, [], "from then on, it says so itself");
  });
}

test("what is put into a log that was spent, and is in use again, counts, even for who is told that it is spent", () => {
  const { clock, disk, front } = broken("sync");
  front.log.spent();
  clock.advance(100);
  disk.failing = undefined;
  disk.kill();
  const next = new TestFront(disk, clock, LIMITS, SPENT).opened();
  next.write("write", 5, 1, fillWith(3));
  next.log.sync(() => {});
  clock.advance(100);
  disk.powerCut();
  for (const told of [undefined, SPENT]) {
    const { remains } = new TestFront(disk, new ManualClock(), LIMITS, told);
    assert.deepEqual(
      remains.map(({ offset }) => offset),
      [5 * SECTOR],
    );
  }
});

test("what is put into a log whose spent run has left no trace in it is not of that run", () => {
  const { clock, disk, front } = broken("sync");
  front.log.spent();
  clock.advance(100);
  disk.failing = undefined;
  disk.kill();
  // It could not write as much as a header.
  const lost = { ...SPENT, run: SPENT.run + 1 };
  const next = new TestFront(disk, clock, LIMITS, lost).opened();
  assert.deepEqual(next.remains, []);
  next.write("write", 5, 1, fillWith(3));
  next.log.sync(() => {});
  clock.advance(100);
  disk.powerCut();
  assert.equal(new TestFront(disk, new ManualClock(), LIMITS, lost).remains.length, 1);
});

test("a log that breaks down with pieces that the store doesn't have keeps them", () => {
  const { clock, disk, front } = broken("write");
  disk.failing = undefined;
  assert.equal(isEmptyAtEnd(front, clock), false);
  assert.equal(front.mark, "in use");
  disk.powerCut();
  assert.equal(new TestFront(disk, new ManualClock(), LIMITS).remains.length, 1);
});

test("a header that was in flight when the log broke down leaves the other one whole while it is emptied", () => {
  const { clock, file, front } = stage();
  front.write("write", 0, 1, fillWith(1));
  front.log.sync(() => {});
  clock.advance(0);
  file.done("records");
  file.done("sync");
  front.log.remember({ ...STORE, epoch: 8 });
  clock.advance(0);
  const before = file.bytes.slice(0, AREA_START);
  file.done("header", new Error("EIO"));
  front.log.spent();
  clock.advance(0);
  assert.deepEqual(file.waiting, ["header"]);
  file.done("header");
  assert.deepEqual(file.waiting, ["sync"]);
  file.done("sync");
  const newest = examine(file).header?.sequence ?? 0;
  const other = newest % 2 === 0 ? HEADER_BYTES : 0;
  assert.deepEqual(file.bytes.slice(other, other + HEADER_BYTES), before.slice(other, other + HEADER_BYTES));
  assert.equal(decodeHeader(file.bytes.slice(other, other + HEADER_BYTES)).header?.sequence, newest - 3);
  assert.deepEqual(examine(file).records, []);
});

test("a clean end leaves an empty log behind, with what is known of the store", () => {
  const { clock, disk, front } = onDisk();
  front.write("write", 0, 4, fillWith(1));
  clock.advance(1);
  front.release(() => true);
  let closed = false;
  front.log.close(() => {
    closed = true;
  });
  clock.advance(100);
  assert.ok(closed);
  disk.powerCut();
  const next = new TestFront(disk, new ManualClock(), LIMITS);
  assert.deepEqual(next.remains, []);
  assert.deepEqual(next.store, STORE);
});

test("after a clean end that left pieces, they are there", () => {
  const { clock, disk, front } = onDisk();
  front.write("write", 0, 4, fillWith(7));
  front.log.close(() => {});
  clock.advance(100);
  disk.powerCut();
  const next = new TestFront(disk, new ManualClock(), LIMITS);
  assert.deepEqual(
    next.remains.map(({ offset, length, kind }) => ({ offset, length, kind })),
    [{ offset: 0, length: 4 * SECTOR, kind: "write" }],
  );
});

test("what is recovered lies densely, in few slots, with a reference for each piece", () => {
  const { clock, disk, front } = onDisk();
  for (let i = 0; i < 8; i++) front.write("write", 3 * i, 2, fillWith(i));
  front.log.kept(() => {});
  clock.advance(100);
  disk.kill();
  const next = new TestFront(disk, new ManualClock(), LIMITS);
  assert.equal(next.memory.usedBytes, 16 * SECTOR);
  const payload = next.remains[0]?.payload;
  assert.ok(next.remains.every((piece) => piece.payload === payload));
  assert.equal(payload?.references, 8);
});

test("no changed byte of the live area leads to wrong data: it is damage, or the end of what is not attested", () => {
  const { clock, disk, front } = onDisk();
  const write = (i: number) => front.write("write", 2 * i, 2, fillWith(i + 1));
  for (let i = 0; i < 6; i++) write(i);
  front.log.sync(() => {});
  clock.advance(1000);
  for (let i = 6; i < 9; i++) write(i);
  front.log.kept(() => {});
  clock.advance(100);
  disk.kill();
  const whole = examine(disk);
  assert.equal(whole.records.length, 9);
  for (let byte = AREA_START; byte < byteOf(whole.end.position, areaBytes(SIZE)); byte += 13) {
    disk.bytes[byte] = (disk.bytes[byte] as number) ^ 0x10;
    const found = examine(disk);
    const record = Math.floor((byte - AREA_START) / (3 * SECTOR));
    if (record < 6) assert.ok(found.damage !== undefined, `byte ${byte} of record ${record}, which is attested`);
    else assert.equal(found.damage, undefined, `byte ${byte} of record ${record}, which never was durable`);
    assert.ok(found.records.length <= record);
    disk.bytes[byte] = (disk.bytes[byte] as number) ^ 0x10;
  }
});

test("no changed byte of a header leads to wrong data: the other one counts, and all is found from there", () => {
  const { clock, disk, front } = onDisk();
  for (let i = 0; i < 6; i++) front.write("write", 2 * i, 2, fillWith(i + 1));
  front.log.sync(() => {});
  clock.advance(1000);
  disk.kill();
  for (let byte = 0; byte < AREA_START; byte += 11) {
    disk.bytes[byte] = (disk.bytes[byte] as number) ^ 0x10;
    const found = examine(disk);
    assert.equal(found.headerCase, "one-good");
    assert.equal(found.damage, undefined);
    assert.equal(found.records.length, 6);
    disk.bytes[byte] = (disk.bytes[byte] as number) ^ 0x10;
  }
});

test("what was recovered and pins the tail is carried on, too, once the shadow has it", () => {
  const { clock, disk, front } = onDisk();
  front.write("write", 90, 2, fillWith(0x5a));
  front.log.kept(() => {});
  clock.advance(100);
  disk.kill();
  const next = new TestFront(disk, clock, LIMITS).opened();
  const [stuck] = next.pieces;
  for (let i = 0; i < 500; i++) {
    if (next.write("write", 0, 8, fillWith(1)) === undefined) {
      next.release((piece) => piece !== stuck);
      clock.advance(1000);
      assert.ok(next.write("write", 0, 8, fillWith(1)) !== undefined, `write ${i} finds no room`);
    }
    clock.advance(1);
  }
  assert.ok((stuck?.note ?? 0) > 1, "it has a new record");
});

test("what was recovered stays in the log until the shadow has taken it", () => {
  const { clock, disk, front } = onDisk();
  // So much that it would be carried.
  front.write("write", 90, 2, fillWith(1));
  while (front.write("write", 0, 8, fillWith(1)) !== undefined) clock.advance(0);
  front.log.kept(() => {});
  clock.advance(100);
  disk.kill();
  const { memory } = front;
  const taken = takeUp("test.log", disk, memory);
  const ports = { path: "test.log", file: disk, memory, clock, log: SILENT_LOG, pid: 42 };
  const log = new DiskLog({ ...ports, newId: LOG_ID, newBytes: SIZE }, taken, LIMITS);
  log.remember({ ...STORE, epoch: 8 });
  clock.advance(1000);
  disk.powerCut();
  const next = new TestFront(disk, new ManualClock(), LIMITS);
  assert.equal(next.store?.epoch, 8);
  assert.equal(next.remains.length, 2);
});
