import assert from "node:assert/strict";
import { test } from "node:test";
import { HeapMemory } from "../../shadow/testing.ts";
import { OutputQueue } from "./output.ts";

const KIB = 1024;
const MIB = KIB * KIB;

function payload(length: number, fill: number) {
  const memory = new HeapMemory();
  const made = memory.allocate(length);
  assert(made !== undefined);
  for (const slot of made.slots) slot.bytes.fill(fill);
  return { payload: made, memory, done: () => memory.release(made) };
}

/** All that is queued, as the kernel would get it. */
function drain(output: OutputQueue): Buffer {
  const parts: Buffer[] = [];
  for (let round = output.nextRound(Infinity, MIB); round.length > 0; round = output.nextRound(Infinity, MIB)) {
    parts.push(...round.map(({ bytes }) => Buffer.from(bytes)));
    output.written();
  }
  return Buffer.concat(parts);
}

test("small sends become one segment, and a small payload is free at once", () => {
  const output = new OutputQueue();
  const small = payload(4 * KIB, 7);
  for (let count = 0; count < 8; count++) output.copy(new Uint8Array(16).fill(count));
  output.reference(small.payload, 0, 4 * KIB, small.done);
  assert.equal(small.memory.usedBytes, 0);
  assert.equal(output.queuedBytes, 8 * 16 + 4 * KIB);
  assert.equal(output.nextRound(Infinity, MIB).length, 1);
  output.written();
  assert.equal(output.queuedBytes, 0);
});

test("bytes keep their order through gather buffers, references and rounds", () => {
  const output = new OutputQueue();
  const expected: Buffer[] = [];
  for (let count = 0; count < 24; count++) {
    const head = Buffer.alloc(28, count);
    output.copy(head);
    const length = (count % 3 === 0 ? 3 * MIB : 4 * KIB) + count * 512;
    const data = payload(length, 100 + count);
    output.reference(data.payload, 512, length - 512, data.done);
    expected.push(head, Buffer.alloc(length - 512, 100 + count));
  }
  assert.equal(Buffer.compare(drain(output), Buffer.concat(expected)), 0);
  assert.equal(output.queuedBytes, 0);
});

test("a segment larger than a round goes out in several, and keeps its payload to the last", () => {
  const output = new OutputQueue();
  output.copy(Buffer.alloc(16, 1));
  const large = payload(MIB, 2);
  output.reference(large.payload, 0, MIB, large.done);
  const parts: Buffer[] = [];
  while (output.queuedBytes > 0) {
    assert.equal(large.memory.usedBytes, MIB);
    const round = output.nextRound(Infinity, 128 * KIB).map(({ bytes }) => Buffer.from(bytes));
    assert(Buffer.concat(round).length <= 256 * KIB);
    parts.push(...round);
    output.written();
  }
  assert.equal(large.memory.usedBytes, 0);
  assert.deepEqual(Buffer.concat(parts), Buffer.concat([Buffer.alloc(16, 1), Buffer.alloc(MIB, 2)]));
});

test("a large payload is kept until its last round is written", () => {
  const output = new OutputQueue();
  const large = payload(3 * MIB, 1);
  output.reference(large.payload, 0, 3 * MIB, large.done);
  for (let round = 0; round < 3; round++) {
    assert.equal(large.memory.usedBytes, 3 * MIB);
    assert.equal(output.nextRound(Infinity, MIB).length, 1);
    output.written();
  }
  assert.equal(large.memory.usedBytes, 0);
});

test("unpinned payloads are free, but for what the socket has in its hands, and the bytes stay", () => {
  const output = new OutputQueue();
  const first = payload(2 * MIB, 1);
  const second = payload(64 * KIB, 2);
  output.reference(first.payload, 0, 2 * MIB, first.done);
  output.reference(second.payload, 0, 64 * KIB, second.done);
  output.nextRound(Infinity, MIB);
  output.unpin();
  assert.equal(second.memory.usedBytes, 0);
  assert.equal(first.memory.usedBytes, 2 * MIB);
  second.payload.slots[0]?.bytes.fill(99);
  output.written();
  assert.equal(first.memory.usedBytes, 0);
  first.payload.slots[1]?.bytes.fill(99);
  const rest = drain(output);
  assert.equal(Buffer.compare(rest, Buffer.concat([Buffer.alloc(MIB, 1), Buffer.alloc(64 * KIB, 2)])), 0);
});

test("a round that would pin more than allowed is copied, and its payloads are free at once", () => {
  const output = new OutputQueue();
  const first = payload(MIB, 1);
  const second = payload(MIB, 2);
  for (const { payload, done } of [first, second]) output.reference(payload, 0, MIB, done);
  assert.equal(output.nextRound(MIB - 1, MIB).length, 1);
  assert.equal(output.pinnedBytes, 0);
  assert.equal(first.memory.usedBytes, 0);
  output.written();
  const round = output.nextRound(MIB, MIB);
  assert.equal(output.pinnedBytes, MIB);
  assert.equal(Buffer.compare(Buffer.concat(round.map(({ bytes }) => bytes)), Buffer.alloc(MIB, 2)), 0);
  output.written();
  assert.equal(output.pinnedBytes, 0);
  assert.equal(second.memory.usedBytes, 0);
});

test("a round of a large payload pins all of it, since its memory comes back as a whole", () => {
  const output = new OutputQueue();
  const large = payload(8 * MIB, 1);
  output.reference(large.payload, 0, 8 * MIB, large.done);
  assert.equal(output.nextRound(8 * MIB, MIB).length, 1);
  assert.equal(output.pinnedBytes, 8 * MIB);
  output.written();
  output.nextRound(8 * MIB - 1, MIB);
  assert.equal(output.pinnedBytes, 0);
  output.unpin();
  assert.equal(large.memory.usedBytes, 0);
});

test("a cleared queue gives every payload back once", () => {
  const output = new OutputQueue();
  const first = payload(2 * MIB, 1);
  output.reference(first.payload, 0, 2 * MIB, first.done);
  output.nextRound(Infinity, MIB);
  output.clear();
  assert.equal(first.memory.usedBytes, 0);
  assert.equal(output.queuedBytes, 0);
});
