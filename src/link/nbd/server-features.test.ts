import assert from "node:assert/strict";
import { test } from "node:test";
import type { Agreement } from "../../nbd/client/agreement.ts";
import { FLAG } from "../../nbd/wire/protocol.ts";
import { deviceOf, featuresOf } from "./server-features.ts";

const AGREEMENT: Agreement = {
  name: "",
  description: "",
  size: 1 << 20,
  flags: FLAG.HAS_FLAGS | FLAG.FLUSH | FLAG.FUA | FLAG.TRIM | FLAG.WRITE_ZEROES,
  structured: true,
  extended: false,
  contexts: new Map(),
  allocationId: undefined,
  minimumBlockSize: 1,
  preferredBlockSize: 4096,
  maximumPayload: 32 << 20,
};

for (const [what, change, message] of [
  ["blocks of no power of two", { minimumBlockSize: 1000 }, /its smallest block is 1000 bytes/],
  ["blocks that are too large", { minimumBlockSize: 1 << 17 }, /its smallest block is 131072 bytes/],
  ["less than a block", { size: 511 }, /its size is 511 bytes, at least one block of 512 bytes/],
  ["more than can be counted", { size: 2 ** 60 }, /its size is 1152921504606847000 bytes, less than 8 PiB was wanted/],
  ["writes without a flush", { flags: FLAG.HAS_FLAGS }, /it takes writes and has no flush/],
] as const) {
  test(`a server with ${what} is refused in one line`, () => {
    assert.throws(() => deviceOf({ ...AGREEMENT, ...change }, true), { code: "bad-server", message });
  });
}

test("blocks are at least 512 bytes, and only whole ones count", () => {
  const { geometry } = deviceOf({ ...AGREEMENT, size: 5000 }, true);
  assert.deepEqual([geometry.blockSize, geometry.size], [512, 4608]);
});

test("what only writes need doesn't keep from reading", () => {
  assert.equal(deviceOf({ ...AGREEMENT, flags: FLAG.HAS_FLAGS }, false).geometry.readOnly, false);
  const readOnly = deviceOf({ ...AGREEMENT, flags: AGREEMENT.flags | FLAG.READ_ONLY }, true).geometry;
  const { fua, trim, zero } = readOnly;
  assert.deepEqual(
    { fua, trim, zero, readOnly: readOnly.readOnly },
    { fua: false, trim: false, zero: false, readOnly: true },
  );
});

test("requests are of whole blocks, whatever largest one the server takes", () => {
  assert.equal(featuresOf({ ...AGREEMENT, maximumPayload: 70_000 }, 4096).maxPayload, 69_632);
  assert.equal(featuresOf({ ...AGREEMENT, maximumPayload: 100 }, 512).maxPayload, 512);
  assert.equal(featuresOf(AGREEMENT, 512).maxPayload, 32 << 20);
  assert.equal(featuresOf(AGREEMENT, 512).maxEffect % 65536, 0);
});
