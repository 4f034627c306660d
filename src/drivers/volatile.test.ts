import assert from "node:assert/strict";
import { test } from "node:test";
import volatile from "../../examples/volatile.ts";
import type { OpenedDevice } from "../block/driver.ts";
import { KeptMemory } from "./fake-context.ts";

async function open(kept: KeptMemory): Promise<OpenedDevice> {
  return volatile.open({ size: 1 << 20, path: undefined }, kept.nextContext());
}

async function firstByte(device: OpenedDevice, offset: number): Promise<number | undefined> {
  const into = new Uint8Array(512);
  await device.read(offset, into);
  return into[0];
}

test("an incarnation that dies takes with it what was not flushed, and only that", async () => {
  const kept = new KeptMemory();
  const first = await open(kept);
  await first.write?.(512, new Uint8Array(512).fill(1), { fua: false });
  await first.flush?.();
  await first.write?.(512, new Uint8Array(512).fill(2), { fua: false });
  await first.write?.(8192, new Uint8Array(4096).fill(3), { fua: false });
  assert.equal(await firstByte(first, 512), 2);
  const second = await open(kept);
  assert.equal(await firstByte(second, 512), 1);
  assert.equal(await firstByte(second, 8192), 0);
});

test("an option that doesn't fit is named in one line", () => {
  for (const raw of [{}, { size: "x" }, { size: "1M", colour: "red" }]) {
    assert.throws(() => volatile.options?.parse(raw as Record<string, string>), { message: /^Cannot [^\n]*$/ });
  }
});
