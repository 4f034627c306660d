import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import type { Request } from "../block/request.ts";
import { Device } from "./device.ts";
import type { Range } from "./digests.ts";
import type { Remains } from "./home.ts";
import {
  DRIVER,
  GEOMETRY,
  HeapMemory,
  ManualClock,
  ManualLink,
  NO_CHANCE,
  newRequest,
  SECTOR,
  SILENT_LOG,
} from "./testing.ts";
import type { LieCure } from "./verifier.ts";

/** A device that verifies, over a driver whose reads return what the test wants. */
class World {
  readonly clock = new ManualClock();
  readonly reads = new HeapMemory();
  readonly device: Device;
  readonly lies: LieCure[] = [];
  readonly replies = new Map<Request, number>();
  link: ManualLink;
  #epoch = 0;

  constructor(writes = new HeapMemory(), remains?: Remains) {
    const ports = {
      name: "disk",
      clock: this.clock,
      random: NO_CHANCE,
      log: SILENT_LOG,
      writes,
      reads: this.reads,
      shortOfReads: () => {},
      cutOffIdleWriters: () => 0,
    };
    this.device = new Device(ports, {}, { verify: "digests", remains });
    this.device.observe({
      suspected: () => {},
      convicted: () => true,
      erred: () => false,
      lied: (_: Range, cure) => {
        this.lies.push(cure);
        // As the supervisor does.
        if (cure === "restart") this.device.detach({ blame: "nobody" });
      },
    });
    this.link = this.attach();
  }

  attach(): ManualLink {
    this.link = new ManualLink(this.device, ++this.#epoch);
    const info = { geometry: GEOMETRY, identity: undefined, discards: false };
    this.device.attach(this.link, info, DRIVER, { replayed: () => {}, mismatch: assert.fail });
    return this.link;
  }

  restart(): void {
    this.device.detach({ blame: "nobody" });
    this.device.reaped();
    this.attach();
  }

  send(kind: Request["kind"], sector: number, fill = 0): Request {
    const request = newRequest(kind, sector, 1, {}, (done, errno) => this.replies.set(done, errno));
    assert.equal(this.device.admit(request), "admitted");
    if (kind === "write") request.payload?.slots[0]?.bytes.fill(fill);
    this.device.submit(request);
    this.device.kick();
    return request;
  }

  /** Written, and durable. */
  write(sector: number, fill: number): void {
    this.send("write", sector, fill);
    this.link.complete("write", sector * SECTOR);
    this.send("flush", 0);
    this.link.complete("flush");
  }

  /** The driver answers a read with this. */
  answer(request: Request, fill: number): void {
    request.payload?.slots[0]?.bytes.subarray(0, SECTOR).fill(fill);
    this.link.complete("read", request.offset);
  }
}

test("a wrong read is read again, and answered if it is right then", () => {
  const world = new World();
  world.write(3, 7);
  const read = world.send("read", 3);
  world.answer(read, 6);
  assert.equal(world.replies.get(read), undefined);
  world.answer(read, 7);
  assert.equal(world.replies.get(read), 0);
  assert.deepEqual(world.lies, ["read again"]);
  assert.equal(world.device.counters.curedLies, 1);
});

test("a read that stays wrong has the driver restarted; wrong still, it gets EIO, never wrong data", () => {
  const world = new World();
  world.write(3, 7);
  const read = world.send("read", 3);
  world.answer(read, 6);
  world.answer(read, 6);
  assert.deepEqual(world.lies, ["read again", "restart"]);
  world.device.reaped();
  world.attach();
  world.answer(read, 6);
  assert.equal(world.replies.get(read), ERRNO.EIO);
  assert.deepEqual(world.lies, ["read again", "restart", "error"]);

  const again = world.send("read", 3);
  world.answer(again, 6);
  assert.equal(world.replies.get(again), ERRNO.EIO, "a block that is known to be wrong costs no other restart");
  world.write(3, 8);
  const healed = world.send("read", 3);
  world.answer(healed, 8);
  assert.equal(world.replies.get(healed), 0);
});

test("one restart in a while: others that are wrong get EIO", () => {
  const world = new World();
  world.write(3, 7);
  world.write(4, 7);
  const first = world.send("read", 3);
  world.answer(first, 6);
  world.answer(first, 6);
  world.device.reaped();
  world.attach();
  for (const { offset } of [...world.link.pending]) world.link.complete("read", offset, ERRNO.EIO);
  world.answer(first, 7);
  const second = world.send("read", 4);
  world.answer(second, 6);
  world.answer(second, 6);
  assert.equal(world.replies.get(second), ERRNO.EIO);
  assert.deepEqual(world.lies, ["read again", "restart", "read again", "error"]);
});

test("where the shadow has the data, the client gets it, and it is written again", () => {
  const world = new World();
  world.send("write", 3, 7);
  world.link.complete("write", 3 * SECTOR);
  const read = world.send("read", 3);
  world.answer(read, 6);
  assert.equal(world.replies.get(read), 0);
  assert.equal(read.payload?.slots[0]?.bytes[0], 7);
  assert.deepEqual(world.lies, ["repair"]);
  assert.deepEqual(world.link.summary, [`write ${3 * SECTOR}`]);
});

test("what the driver never had, or lost with a failed flush, is no lie", () => {
  const world = new World();
  world.send("write", 3, 7);
  world.link.complete("write", 3 * SECTOR);
  world.send("flush", 0);
  world.link.complete("flush", undefined, ERRNO.EIO);
  world.link.complete("write", 3 * SECTOR, ERRNO.EIO);
  const read = world.send("read", 3);
  world.answer(read, 6);
  assert.equal(world.replies.get(read), 0);
  assert.equal(read.payload?.slots[0]?.bytes[0], 7);
  assert.deepEqual(world.lies, []);
});

test("after a refused write its blocks are read as the old or the new, and as nothing else", () => {
  const world = new World();
  world.write(3, 7);
  world.send("write", 3, 8);
  world.link.complete("write", 3 * SECTOR, ERRNO.EIO);
  for (const fill of [8, 7]) {
    const read = world.send("read", 3);
    world.answer(read, fill);
    assert.equal(world.replies.get(read), 0);
  }
  assert.deepEqual(world.lies, []);
  const read = world.send("read", 3);
  world.answer(read, 6);
  world.answer(read, 6);
  assert.equal(world.replies.get(read), ERRNO.EIO);
  assert.deepEqual(world.lies, ["read again", "error"], "it may be torn, which is no reason to restart a driver");
});

test("what was read once has to be read again", () => {
  const world = new World();
  world.answer(world.send("read", 9), 5);
  const read = world.send("read", 9);
  world.answer(read, 4);
  assert.equal(world.replies.get(read), undefined);
  assert.deepEqual(world.lies, ["read again"]);
});

test("a trimmed block may hold anything", () => {
  const world = new World();
  world.write(3, 7);
  world.send("trim", 3);
  world.link.complete("trim", 3 * SECTOR);
  for (const fill of [7, 0, 5]) {
    const read = world.send("read", 3);
    world.answer(read, fill);
    assert.equal(world.replies.get(read), 0);
  }
});

test("what the front before this one has written is known, and what it has trimmed may still hold anything", () => {
  const store = { geometry: GEOMETRY, epoch: 1, kind: DRIVER.kind };
  const range = { length: SECTOR, mayTrim: false, start: 0, note: 0 };
  const writes = new HeapMemory();
  const payload = writes.allocate(SECTOR);
  payload?.slots[0]?.bytes.fill(7);
  const world = new World(writes, {
    store,
    pieces: [
      { ...range, kind: "trim", offset: 3 * SECTOR, payload: undefined },
      { ...range, kind: "write", offset: 4 * SECTOR, payload },
    ],
  });
  world.link.complete("trim", 3 * SECTOR);
  world.link.complete("write", 4 * SECTOR);
  world.send("flush", 0);
  world.link.complete("flush");
  for (const fill of [7, 0]) {
    const read = world.send("read", 3);
    world.answer(read, fill);
    assert.equal(world.replies.get(read), 0);
  }
  world.answer(world.send("read", 4), 6);
  assert.deepEqual(world.lies, ["read again"]);
});

test("a write that is refused before any driver had it leaves what is known of its blocks", () => {
  const world = new World();
  world.write(3, 7);
  world.device.detach({ blame: "nobody" });
  world.device.reaped();
  const write = world.send("write", 3, 8);
  world.device.refuse(ERRNO.EIO);
  assert.equal(world.replies.get(write), ERRNO.EIO);
  world.device.serveAgain();
  world.attach();
  for (const { offset } of [...world.link.pending]) world.link.complete("read", offset, ERRNO.EIO);
  const read = world.send("read", 3);
  world.answer(read, 6);
  assert.deepEqual(world.lies, ["read again"]);
});
