import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_PAYLOAD_BYTES, MAX_SLOT_BYTES, type Payload, type Slot } from "../block/memory.ts";
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

test("what an arena adopts is as it was, and every other slot can be had", () => {
  const lengths = fc.array(fc.constantFrom(512, 4096, 10_000, 65536, 262144, MAX_SLOT_BYTES), { maxLength: 40 });
  fc.assert(
    fc.property(lengths, fc.infiniteStream(fc.nat(99)), (sizes, chance) => {
      const before = new Arena(layout, memory);
      const payloads = sizes.map((bytes) => before.allocate(bytes) as Payload);
      const held = payloads
        .filter(() => (chance.next().value as number) < 50)
        .map((payload) => ({ slot: payload.slots[0] as Slot, length: payload.length }));
      const arena = new Arena(layout, memory);
      const adopted = arena.adopt(held.map(({ slot: { address }, length }) => ({ address, length }))) as Payload[];
      for (const [i, payload] of adopted.entries()) {
        const { slot } = held[i] as { slot: Slot };
        assert.deepEqual(payload, { slots: payload.slots, length: slot.bytes.byteLength, references: 1 });
        assert.deepEqual([payload.slots.length, payload.slots[0]?.address], [1, slot.address]);
        checkShape(payload, payload.length);
      }
      const others: Payload[] = [];
      for (const { slotBytes, count } of layout.classes) {
        const taken = adopted.filter(({ length }) => length === slotBytes).length;
        for (let i = taken; i < count; i++) others.push(arena.allocate(slotBytes) as Payload);
      }
      checkApart([...adopted, ...others], layout.limitBytes);
      for (const payload of [...adopted, ...others]) arena.release(payload);
      assert.equal(arena.usedBytes, 0);
    }),
    { numRuns: 5 },
  );
});

test("what lies in one slot is adopted as one payload, with a reference for each part", () => {
  const arena = new Arena(layout, memory);
  const address = layout.classes[1]?.start ?? 0;
  const [a, b, c] = arena.adopt([
    { address: address + 16384, length: 512 },
    { address: address + 16384 + 512, length: 16384 - 512 },
    { address: address, length: 1 },
  ]);
  assert.equal(a, b);
  assert.deepEqual([a?.references, c?.references], [2, 1]);
  assert.equal(arena.usedBytes, 2 * 16384);
  arena.release(a as Payload);
  arena.release(a as Payload);
  assert.equal(arena.usedBytes, 16384);
});

test("bytes that lie in no slot, or in two, are not adopted", () => {
  const [small, larger] = layout.classes;
  for (const [address, length] of [
    [0, 4096],
    [(small?.start ?? 0) - 1, 1],
    [(small?.start ?? 0) + 4095, 2],
    [(larger?.start ?? 0) - 1, 2],
    [layout.totalBytes - 1, 2],
    [layout.totalBytes, 1],
    [small?.start ?? 0, 0],
    [-1, 1],
    [Number.NaN, 1],
  ] as const) {
    assert.deepEqual(new Arena(layout, memory).adopt([{ address, length }]), [undefined]);
  }
});

test("an arena in use adopts nothing", () => {
  const arena = new Arena(layout, memory);
  arena.allocate(4096);
  assert.throws(() => arena.adopt([]), { code: "ERR_ASSERTION" });
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
