import assert from "node:assert/strict";
import { test } from "node:test";
import type { OpenedDevice } from "../../block/driver.ts";
import { KeptMemory } from "../fake-context.ts";
import none from "./null.ts";

async function open(raw: Record<string, string>): Promise<OpenedDevice> {
  const options = none.options?.parse(raw);
  assert.ok(options !== undefined);
  return none.open(options, new KeptMemory().nextContext());
}

test("writes are dropped and reads are zeroes", async () => {
  const device = await open({ size: "1T", block: "4K" });
  assert.equal(device.size, 2 ** 40);
  assert.equal(device.blockSize, 4096);
  await device.write?.(0, new Uint8Array(4096).fill(1), { fua: true });
  const into = new Uint8Array(4096).fill(2);
  await device.read(0, into);
  assert.deepEqual(into, new Uint8Array(4096));
});

test("each call takes the latency, and many at a time take it once", async () => {
  const device = await open({ size: "1M", latency: "20ms" });
  const start = performance.now();
  await Promise.all(Array.from({ length: 100 }, () => device.read(0, new Uint8Array(512))));
  const tookMs = performance.now() - start;
  assert.ok(tookMs >= 20 && tookMs < 1000, `it took ${tookMs} ms`);
  await device.close?.();
});
