import assert from "node:assert/strict";
import { test } from "node:test";
import type { Payload } from "../block/memory.ts";
import { PoisonedMemory } from "./memory.ts";

test("of a dead front's memory the slots that are held stay as they are, and all others are poisoned and free", () => {
  const memory = new PoisonedMemory(0, 1 << 20);
  const [kept, lost] = [memory.allocate(4096), memory.allocate(4096)] as [Payload, Payload];
  for (const payload of [kept, lost]) payload.slots[0]?.bytes.fill(1);
  const address = kept.slots[0]?.address ?? 0;
  const [a, b, outside] = memory.adopt([
    { address, length: 512 },
    { address: address + 512, length: 3584 },
    { address: address + 512, length: 4096 },
  ]);
  assert.equal(a, b);
  assert.deepEqual([a?.references, a?.slots[0]?.bytes[4095], outside], [2, 1, undefined]);
  assert.deepEqual([memory.usedBytes, lost.slots[0]?.bytes[0]], [4096, 0xdb]);
  assert.equal(memory.allocate(4096)?.slots[0]?.address, lost.slots[0]?.address);
});
