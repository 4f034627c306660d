import assert from "node:assert/strict";
import { test } from "node:test";
import type { DriverContext, OpenedDevice } from "../block/driver.ts";
import { KeptMemory } from "./fake-context.ts";
import memory from "./memory.ts";

function open(context: DriverContext, size = "1M"): OpenedDevice | Promise<OpenedDevice> {
  const options = memory.options?.parse({ size });
  assert.ok(options !== undefined);
  return memory.open(options, context);
}

test("completed writes outlive the incarnation, flushed or not", async () => {
  const kept = new KeptMemory();
  const first = await open(kept.nextContext());
  await first.write?.(4096, new Uint8Array(512).fill(1), { fua: false });
  const into = new Uint8Array(512);
  await (await open(kept.nextContext())).read(4096, into);
  assert.deepEqual(into, new Uint8Array(512).fill(1));
});

test("another memory has another identity", async () => {
  const a = await open(new KeptMemory().nextContext());
  const b = await open(new KeptMemory().nextContext());
  assert.match(a.identity ?? "", /^memory:[0-9a-f-]{36}$/);
  assert.notEqual(a.identity, b.identity);
});

test("another size for the same memory is refused", () => {
  const kept = new KeptMemory();
  open(kept.nextContext());
  assert.throws(() => open(kept.nextContext(), "2M"), { code: "EINVAL" });
});

test("what was never written is neither read nor zeroed in memory", async () => {
  const kept = new KeptMemory();
  const device = await open(kept.nextContext());
  // Not what memory that was never written has: to see whether it is looked at.
  kept
    .nextContext()
    .keep("blocks", 1 << 20)
    .fill(9);
  const into = new Uint8Array(1 << 20);
  await device.read(0, into);
  assert.ok(into.every((byte) => byte === 0));
  await device.zero?.(0, 1 << 20, { mayTrim: false, fast: true });
  assert.ok(
    kept
      .nextContext()
      .keep("blocks", 1 << 20)
      .every((byte) => byte === 9),
  );
});

test("extents follow the chunks that were written, and a chunk zeroed as a whole is a hole again", async () => {
  const device = await open(new KeptMemory().nextContext());
  await device.write?.(65536 + 512, new Uint8Array(512).fill(1), { fua: false });
  assert.deepEqual(await device.extents?.(512, 262144 - 512), [
    { length: 65536 - 512, hole: true, zero: true },
    { length: 65536, hole: false, zero: false },
    { length: 131072, hole: true, zero: true },
  ]);
  await device.trim?.(65536, 65536);
  assert.deepEqual(await device.extents?.(0, 262144), [{ length: 262144, hole: true, zero: true }]);
});
