import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_PAYLOAD_BYTES, MAX_SLOT_BYTES, type Payload } from "../block/memory.ts";
import { Arena, arenaLayout, MIN_ARENA_BYTES } from "./arena.ts";

// One for all tests: each gives back what it took.
const layout = arenaLayout(MIN_ARENA_BYTES);
const memory = new Uint8Array(layout.totalBytes);

test("the classes of a layout lie side by side, after the zeroes", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 34 }), (limit) => {
      const { classes, limitBytes, totalBytes, zeroes } = arenaLayout(limit);
      assert(limitBytes >= limit && limitBytes >= MIN_ARENA_BYTES);
      let end = zeroes + MAX_SLOT_BYTES;
      for (const { slotBytes, count, start } of classes) {
        assert.equal(start, end);
        assert.equal(start % 4096, 0);
        end += slotBytes * count;
      }
      assert.equal(end, totalBytes);
    }),
  );
});

test("payloads are as the interface says, never overlap, and all memory comes back", () => {
  const length = fc.oneof(
    fc.integer({ min: 1, max: 300_000 }),
    fc.integer({ min: 1, max: MAX_PAYLOAD_BYTES }),
    fc.constantFrom(4096, 4097, 16384, 65536, MAX_SLOT_BYTES, MAX_SLOT_BYTES + 1, MAX_PAYLOAD_BYTES),
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(length, fc.constant(0)), { maxLength: 100 }), (steps) => {
      const arena = new Arena(layout, memory);
      const held: Payload[] = [];
      for (const [index, bytes] of steps.entries()) {
        const payload = bytes === 0 ? undefined : arena.allocate(bytes);
        if (payload !== undefined) {
          checkShape(payload, bytes);
          held.push(payload);
        } else {
          const victim = held.splice(index % Math.max(1, held.length), 1)[0];
          if (victim !== undefined) arena.release(victim);
        }
        checkApart(held, arena.usedBytes);
      }
      for (const payload of held) arena.release(payload);
      assert.equal(arena.usedBytes, 0);
    }),
    { numRuns: 60 },
  );
});

test("two of the largest requests fit, however much small ones have taken", () => {
  const arena = new Arena(layout, memory);
  for (const bytes of [4096, 16384, 65536, 262144]) while (arena.allocate(bytes) !== undefined);
  assert.notEqual(arena.allocate(MAX_PAYLOAD_BYTES), undefined);
  assert.notEqual(arena.allocate(MAX_PAYLOAD_BYTES - 300_000), undefined);
  assert.equal(arena.allocate(MAX_PAYLOAD_BYTES), undefined);
});

test("a small payload is served from a larger class where its own is used up", () => {
  const arena = new Arena(layout, memory);
  const own = layout.classes[0]?.count ?? 0;
  let count = 0;
  while (arena.allocate(512) !== undefined) count++;
  assert(count > own);
});

test("what was released last is used first", () => {
  const arena = new Arena(layout, memory);
  const payloads = [arena.allocate(4096), arena.allocate(4096)] as Payload[];
  for (const payload of payloads) arena.release(payload);
  assert.equal(arena.allocate(4096)?.slots[0], payloads[1]?.slots[0]);
});

test("memory is freed with the last reference, and a release too many is an assertion", () => {
  const arena = new Arena(layout, memory);
  const payload = arena.allocate(5000) as Payload;
  payload.references++;
  arena.release(payload);
  assert.equal(arena.usedBytes, 16384);
  arena.release(payload);
  assert.equal(arena.usedBytes, 0);
  assert.throws(() => arena.release(payload), { code: "ERR_ASSERTION" });
});

test("a payload that does not fit takes nothing", () => {
  const arena = new Arena(layout, memory);
  const held = [arena.allocate(MAX_PAYLOAD_BYTES), arena.allocate(MAX_PAYLOAD_BYTES)];
  const before = arena.usedBytes;
  assert.equal(arena.allocate(MAX_SLOT_BYTES + 4096), undefined);
  assert.equal(arena.usedBytes, before);
  assert.equal(held.length, 2);
});

function checkShape(payload: Payload, bytes: number): void {
  assert.equal(payload.length, bytes);
  assert.equal(payload.references, 1);
  for (const slot of payload.slots.slice(0, -1)) assert.equal(slot.bytes.byteLength, MAX_SLOT_BYTES);
  const room = payload.slots.reduce((sum, slot) => sum + slot.bytes.byteLength, 0);
  assert(room >= bytes && room - (payload.slots.at(-1)?.bytes.byteLength ?? 0) < bytes);
  for (const slot of payload.slots) assert.equal(slot.bytes.byteOffset, slot.address);
}

function checkApart(held: readonly Payload[], usedBytes: number): void {
  const slots = held.flatMap((payload) => payload.slots).sort((a, b) => a.address - b.address);
  let end = MAX_SLOT_BYTES;
  let used = 0;
  for (const slot of slots) {
    assert(slot.address >= end);
    end = slot.address + slot.bytes.byteLength;
    used += slot.bytes.byteLength;
  }
  assert(end <= layout.totalBytes);
  assert.equal(usedBytes, used);
}
