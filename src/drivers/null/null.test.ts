import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { OpenedDevice } from "../../block/driver.ts";
import { KeptMemory } from "../fake-context.ts";
import none from "./null.ts";

const BLOCK = 512;

/** Closed when the test is over. */
async function open(t: TestContext, raw: Record<string, string>): Promise<OpenedDevice> {
  const options = none.options?.parse(raw);
  assert.ok(options !== undefined);
  const device = await none.open(options, new KeptMemory().nextContext());
  t.after(() => device.close?.());
  return device;
}

async function tookMs(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const reads = (device: OpenedDevice, count: number, bytes = BLOCK): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => device.read(0, new Uint8Array(bytes))));

test("writes are dropped and reads are zeroes", async (t) => {
  const device = await open(t, { size: "1T", block: "4K" });
  assert.equal(device.size, 2 ** 40);
  assert.equal(device.blockSize, 4096);
  await device.write?.(0, new Uint8Array(4096).fill(1), { fua: true });
  const into = new Uint8Array(4096).fill(2);
  await device.read(0, into);
  assert.deepEqual(into, new Uint8Array(4096));
});

test("each call takes the latency, and many at a time take it once", async (t) => {
  const device = await open(t, { size: "1M", latency: "20ms" });
  const took = await tookMs(() => reads(device, 100));
  assert.ok(took >= 20 && took < 1000, `it took ${took} ms`);
});

test("a kind of call that has a latency of its own takes that, and overtakes those that came before", async (t) => {
  const device = await open(t, {
    size: "1M",
    latency: "10s",
    "read-latency": "500ms",
    "flush-latency": "0us",
    "write-latency": "2ms",
  });
  const slow = Promise.resolve(device.read(0, new Uint8Array(BLOCK)));
  const first = await Promise.race([
    slow.then(() => "read"),
    device.write?.(0, new Uint8Array(BLOCK), { fua: false })?.then(() => "write"),
  ]);
  assert.equal(first, "write");
  assert.equal(device.flush?.(), undefined);
  await slow;
});

test("no more calls are served at once than its depth", async (t) => {
  const device = await open(t, { size: "1M", latency: "10ms", depth: "4" });
  const took = await tookMs(() => reads(device, 16));
  assert.ok(took >= 40, `it took ${took} ms`);
});

test("no more bytes pass in a time than its bandwidth lets through", async (t) => {
  const device = await open(t, { size: "16M", mbps: "100" });
  const took = await tookMs(() => reads(device, 8, 1 << 20));
  assert.ok(took >= 80, `it took ${took} ms`);
});

test("a call that reaches a bad block fails with EIO, and does nothing", async (t) => {
  const device = await open(t, { size: "1M", memory: "", "bad-blocks": "4-5" });
  const data = new Uint8Array(8 * BLOCK).fill(7);
  for (const call of [
    () => device.write?.(0, data, { fua: false }),
    () => device.read(0, data.slice()),
    () => device.zero?.(0, data.length, { mayTrim: true, fast: false }),
    () => device.trim?.(0, data.length),
  ]) {
    assert.throws(call, { code: "EIO", message: "block 4 is bad" });
  }
  const into = new Uint8Array(BLOCK).fill(1);
  await device.read(0, into);
  assert.deepEqual(into, new Uint8Array(BLOCK));
  await device.write?.(6 * BLOCK, data.subarray(0, BLOCK), { fua: false });
});

test("a bad block that the disk doesn't have is refused", async (t) => {
  await open(t, { size: "1M", "bad-blocks": "2040-2047" });
  await assert.rejects(open(t, { size: "1M", "bad-blocks": "5,2040-2048" }), {
    message: "bad-blocks names block 2048, one of the disk's blocks 0-2047 was wanted",
  });
});

test("of a partial one what comes before the bad block is done; it fails after its latency, and once if that is said", async (t) => {
  const device = await open(t, {
    size: "1M",
    memory: "",
    "bad-blocks": "4",
    "bad-blocks-partial": "",
    "bad-blocks-once": "",
    "write-latency": "1ms",
  });
  const data = new Uint8Array(8 * BLOCK).fill(7);
  await assert.rejects(async () => device.write?.(0, data, { fua: false }), { code: "EIO" });
  const into = new Uint8Array(8 * BLOCK).fill(1);
  await device.read(0, into);
  assert.deepEqual(into, new Uint8Array(8 * BLOCK).fill(7, 0, 4 * BLOCK));
  await device.write?.(0, data, { fua: false });
});

test("without discard it has no trim", async (t) => {
  assert.equal((await open(t, { size: "1M", discard: "false" })).trim, undefined);
  assert.equal(typeof (await open(t, { size: "1M" })).trim, "function");
});
