import assert from "node:assert/strict";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { OpenedDevice } from "../../block/driver.ts";
import { KeptMemory } from "../fake-context.ts";
import file from "./file.ts";

const folder = mkdtempSync(join(tmpdir(), "skink-file-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function newPath(): string {
  return join(folder, `disk-${files++}.img`);
}

async function open(raw: Record<string, string>): Promise<OpenedDevice> {
  const options = file.options?.parse(raw);
  assert.ok(options !== undefined);
  return file.open(options, new KeptMemory().nextContext());
}

function fileOf(bytes: number, fill = 7): string {
  const path = newPath();
  writeFileSync(path, new Uint8Array(bytes).fill(fill));
  return path;
}

function allocatedBytes(path: string): number {
  return statSync(path).blocks * 512;
}

test("a missing file is created with a size, and refused without one", async () => {
  const path = newPath();
  await assert.rejects(open({ path }), { code: "store-missing", message: /^Cannot open .*: there is no such file, / });
  await assert.rejects(open({ path, size: "1M", readonly: "true" }), { code: "store-missing" });
  const device = await open({ path, size: "1M" });
  assert.equal(device.size, 1 << 20);
  await device.close?.();
  assert.equal(statSync(path).size, 1 << 20);
});

test("a smaller file is extended, a larger one refused and left as it is", async () => {
  const path = fileOf(1 << 20);
  await (await open({ path, size: "2M" })).close?.();
  assert.equal(statSync(path).size, 2 << 20);
  await assert.rejects(open({ path, size: "1M" }), { code: "store-size", message: /its size is 2M, over size=1M/ });
  await assert.rejects(open({ path, size: "4M", readonly: "true" }), { code: "store-size" });
  assert.equal(statSync(path).size, 2 << 20);
});

test("what is neither file nor block device is refused", async () => {
  await assert.rejects(open({ path: folder }), { code: "store-kind", message: /it is a folder/ });
  await assert.rejects(open({ path: "/dev/null" }), { code: "store-kind" });
  await assert.rejects(open({ path: join(fileOf(1), "x") }), { code: "ENOTDIR", message: /^Cannot open / });
  await assert.rejects(open({ path: fileOf(100) }), { code: "store-size", message: /it has 100 bytes/ });
});

test("a file that one incarnation holds is refused to the next until it is closed", async () => {
  const path = fileOf(1 << 20);
  const first = await open({ path });
  await assert.rejects(open({ path }), { code: "store-locked" });
  await first.close?.();
  await (await open({ path })).close?.();
});

test("a refused open leaves no descriptor behind", async () => {
  const path = fileOf(1 << 20);
  const first = await open({ path });
  const before = readdirSync("/proc/self/fd").length;
  await assert.rejects(open({ path }), { code: "store-locked" });
  assert.equal(readdirSync("/proc/self/fd").length, before);
  await first.close?.();
});

test("a read-only file needs no permission to write and has nothing to write with", async () => {
  const path = fileOf(1 << 20);
  chmodSync(path, 0o444);
  const device = await open({ path, readonly: "true" });
  assert.equal(device.write, undefined);
  assert.equal(device.zero, undefined);
  const into = new Uint8Array(512);
  await device.read(512, into);
  assert.deepEqual(into, new Uint8Array(512).fill(7));
  await device.close?.();
});

test("trim and a zero that may trim free the range, a zero that may not keeps it", async () => {
  const path = fileOf(4 << 20);
  const device = await open({ path });
  await device.flush?.();
  await device.trim?.(0, 1 << 20);
  await device.zero?.(1 << 20, 1 << 20, { mayTrim: true, fast: false });
  const punched = allocatedBytes(path);
  assert.ok(punched <= 2.1 * 2 ** 20, `${punched} bytes are still allocated`);
  await device.zero?.(2 << 20, 1 << 20, { mayTrim: false, fast: false });
  await device.flush?.();
  assert.equal(allocatedBytes(path), punched);
  // Allocated and not written, the last one is a hole to the file system.
  assert.deepEqual(await device.extents?.(0, 3 << 20), [{ length: 3 << 20, hole: true, zero: true }]);
  await device.close?.();
  assert.equal(readFileSync(path).indexOf(7), 3 << 20);
});

test("an extent is data as far as its last block has any", async () => {
  const path = newPath();
  const device = await open({ path, size: "1M", block: "64K" });
  // Past the driver, which would only write whole blocks.
  writeFileSync(path, new Uint8Array(4096).fill(7), { flag: "r+" });
  assert.deepEqual(await device.extents?.(0, 1 << 20), [
    { length: 65536 },
    { length: (1 << 20) - 65536, hole: true, zero: true },
  ]);
  await device.close?.();
});

test("a file that was cut meanwhile answers EIO", async () => {
  const path = fileOf(1 << 20);
  const device = await open({ path });
  truncateSync(path, 4096);
  await assert.rejects(async () => device.read(0, new Uint8Array(8192)), { code: "EIO" });
  await device.read(0, new Uint8Array(4096));
  await device.close?.();
});
