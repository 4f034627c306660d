import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Operation } from "../shadow/ports.ts";
import { FrontRing, HostRing, ringBytes } from "./ring.ts";

const TAIL = 0;
const NAP = 16;

interface Pair {
  readonly front: FrontRing;
  readonly host: HostRing;
  readonly frontFile: ArrayBuffer;
  readonly hostFile: ArrayBuffer;
}

function pair(depth: number, start = 0): Pair {
  const bytes = ringBytes(depth);
  const frontFile = new ArrayBuffer(bytes.front);
  const hostFile = new ArrayBuffer(bytes.host);
  return {
    front: new FrontRing(frontFile, hostFile, depth, start),
    host: new HostRing(hostFile, frontFile, depth, start),
    frontFile,
    hostFile,
  };
}

const operation = fc.constantFrom<Operation[]>("read", "write", "zero", "trim", "flush", "extents");
const bytes = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const submission = fc.tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), operation, fc.nat(7), bytes, bytes, bytes);

test("submissions and completions arrive unchanged and in order, over many rounds", () => {
  fc.assert(
    fc.property(fc.array(fc.array(submission, { maxLength: 4 }), { maxLength: 40 }), (batches) => {
      const { front, host } = pair(4);
      for (const batch of batches) {
        for (const entry of batch) front.submit(...entry);
        assert.equal(host.arrived(), 0);
        front.publish();
        assert.equal(host.arrived(), batch.length);
        for (const entry of batch) {
          host.next();
          assert.deepEqual([host.tag, host.operation, host.flags, host.offset, host.length, host.address], entry);
          host.complete(host.tag, 5, host.length);
        }
        assert.equal(front.arrived(), 0);
        host.publish();
        assert.equal(front.arrived(), batch.length);
        for (const [tag, , , , length] of batch) {
          front.next();
          assert.deepEqual([front.tag, front.errno, front.count], [tag, 5, length]);
        }
        assert.equal(front.outstanding, 0);
      }
    }),
  );
});

test("positions may pass 2^31 and 2^32", () => {
  for (const start of [2 ** 31 - 10, -10]) {
    const { front, host } = pair(4, start | 0);
    for (let i = 0; i < 20; i += 2) {
      for (const tag of [i, i + 1]) front.submit(tag, "flush", 0, 0, 0, 0);
      front.publish();
      assert.equal(host.arrived(), 2);
      assert.equal(host.sleep(), false);
      host.next();
      host.complete(host.tag, 0, 0);
      host.next();
      host.complete(host.tag, 0, 0);
      assert.equal(front.arrived(), 0);
      host.publish();
      assert.equal(front.arrived(), 2);
      for (const tag of [i, i + 1]) {
        front.next();
        assert.equal(front.tag, tag);
      }
      assert.equal(front.outstanding, 0);
    }
  }
});

test("a position of the host is believed only up to what was submitted and published", () => {
  fc.assert(
    fc.property(fc.nat(8), fc.nat(8), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (published, more, tail) => {
      const { front, hostFile } = pair(16);
      for (let i = 0; i < published; i++) front.submit(i, "flush", 0, 0, 0, 0);
      front.publish();
      for (let i = 0; i < more; i++) front.submit(i, "flush", 0, 0, 0, 0);
      Atomics.store(new Int32Array(hostFile), TAIL, tail);
      assert.equal(front.arrived(), tail >= 0 && tail <= published ? tail : undefined);
    }),
  );
});

test("a position that goes back is not believed", () => {
  const { front, host, hostFile } = pair(4);
  for (let i = 0; i < 3; i++) front.submit(i, "flush", 0, 0, 0, 0);
  front.publish();
  for (let i = 0; i < 3; i++) host.complete(i, 0, 0);
  host.publish();
  front.next();
  front.next();
  Atomics.store(new Int32Array(hostFile), TAIL, 1);
  assert.equal(front.arrived(), undefined);
});

test("rubbish anywhere in the host's memory makes the front take no more than is outstanding", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 192, maxLength: 192 }), fc.nat(4), (rubbish, submitted) => {
      const { front, hostFile } = pair(4);
      for (let i = 0; i < submitted; i++) front.submit(i, "read", 0, 0, 512, 0);
      front.publish();
      new Uint8Array(hostFile).set(rubbish);
      const count = front.arrived();
      if (count === undefined) return;
      assert(count <= submitted);
      for (let i = 0; i < count; i++) {
        front.next();
        assert(Number.isInteger(front.tag) && Number.isInteger(front.errno) && typeof front.count === "number");
      }
      assert.equal(front.outstanding, submitted - count);
    }),
  );
});

test("more submissions than the ring is deep are an assertion", () => {
  const { front } = pair(2);
  front.submit(1, "flush", 0, 0, 0, 0);
  front.submit(2, "flush", 0, 0, 0, 0);
  assert.throws(() => front.submit(3, "flush", 0, 0, 0, 0), { code: "ERR_ASSERTION" });
});

test("who sleeps is woken once, and only by something new", () => {
  const { front, host } = pair(4);
  front.submit(1, "flush", 0, 0, 0, 0);
  assert.equal(front.publish(), false);
  assert.equal(host.sleep(), false);
  host.next();
  assert.equal(host.sleep(), true);
  assert.equal(front.publish(), false);
  front.submit(2, "flush", 0, 0, 0, 0);
  assert.equal(front.publish(), true);
  front.submit(3, "flush", 0, 0, 0, 0);
  assert.equal(front.publish(), false);
  host.wake();
  host.next();
  host.next();
  assert.equal(host.sleep(), true);
  front.submit(4, "flush", 0, 0, 0, 0);
  assert.equal(front.publish(), true);

  assert.equal(front.sleep(), true);
  assert.equal(front.naps, 1);
  assert.equal(front.sleep(), true);
  assert.equal(front.naps, 1);
  host.complete(1, 0, 0);
  assert.equal(host.publish(), true);
  host.complete(2, 0, 0);
  assert.equal(host.publish(), false);
});

test("a front does not go to sleep over a position that makes no sense", () => {
  const { front, hostFile } = pair(4);
  Atomics.store(new Int32Array(hostFile), TAIL, 77);
  assert.equal(front.sleep(), false);
  assert.equal(Atomics.load(new Int32Array(hostFile), NAP), 0);
});
