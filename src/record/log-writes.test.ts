import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { decodeEntry, decodeSuper, type EntryHeader, encodeEntry, encodeSuper, maxMarkBytes } from "./log-writes.ts";

const SECTOR = 512;

const PLAIN: EntryHeader = {
  offset: 0,
  length: 0,
  flush: false,
  fua: false,
  discard: false,
  metadata: false,
  mark: undefined,
};

function sectorOf(entry: Partial<EntryHeader>, sectorSize = SECTOR): Buffer {
  const sector = Buffer.alloc(sectorSize, 0xff);
  encodeEntry({ ...PLAIN, ...entry }, sectorSize, sector);
  return sector;
}

/** Without the zeroes behind its end. */
function hex(sector: Buffer, bytes: number): string {
  assert.ok(sector.subarray(bytes).every((byte) => byte === 0));
  return sector.toString("hex", 0, bytes);
}

test("a super block is the kernel's: magic, version, entries, size of sectors", () => {
  const sector = encodeSuper({ entries: 0x1234, sectorSize: 4096 });
  assert.equal(sector.length, 4096);
  assert.equal(hex(sector, 28), "72687377 6673 6a00 0100000000000000 3412000000000000 00100000".replaceAll(" ", ""));
  assert.deepEqual(decodeSuper(sector), { entries: 0x1234, sectorSize: 4096 });
});

test("entries are the kernel's, byte by byte", () => {
  const write = sectorOf({ offset: 1024, length: 1536, fua: true });
  assert.equal(
    hex(write, 32),
    "0200000000000000 0300000000000000 0200000000000000 0000000000000000".replaceAll(" ", ""),
  );
  const flush = sectorOf({ flush: true });
  assert.equal(
    hex(flush, 32),
    "0000000000000000 0000000000000000 0100000000000000 0000000000000000".replaceAll(" ", ""),
  );
  const trim = sectorOf({ offset: 512, length: 512, discard: true });
  assert.equal(
    hex(trim, 32),
    "0100000000000000 0100000000000000 0400000000000000 0000000000000000".replaceAll(" ", ""),
  );
  const mark = sectorOf({ mark: "héllo" });
  assert.equal(
    hex(mark, 38),
    "0000000000000000 0000000000000000 0800000000000000 0600000000000000 68c3a96c6c6f".replaceAll(" ", ""),
  );
});

test("what is encoded is decoded again", () => {
  const range = fc.record({
    sector: fc.integer({ min: 0, max: 2 ** 40 }),
    sectors: fc.integer({ min: 1, max: 2 ** 18 }),
  });
  const flags = fc.record({ fua: fc.boolean(), discard: fc.boolean(), metadata: fc.boolean(), flush: fc.boolean() });
  const sizes = fc.constantFrom(512, 4096, 65536);
  fc.assert(
    fc.property(range, flags, sizes, ({ sector, sectors }, some, sectorSize) => {
      const entry = { ...PLAIN, ...some, offset: sector * sectorSize, length: sectors * sectorSize };
      if (entry.offset + entry.length > Number.MAX_SAFE_INTEGER) return;
      assert.deepEqual(decodeEntry(sectorOf(entry, sectorSize)), entry);
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), sizes, (text, sectorSize) => {
      if (Buffer.byteLength(text) > maxMarkBytes(sectorSize)) return;
      assert.deepEqual(decodeEntry(sectorOf({ mark: text }, sectorSize)), { ...PLAIN, mark: text });
    }),
  );
});

test("the longest mark leaves a zero behind it", () => {
  const sector = sectorOf({ mark: "x".repeat(maxMarkBytes(SECTOR)) });
  assert.equal(sector.at(-2), "x".charCodeAt(0));
  assert.equal(sector.at(-1), 0);
});

for (const [what, spoil, complaint] of [
  ["says nothing", (sector: Buffer) => sector.fill(0), /says nothing/],
  ["has flags that nobody knows", (sector: Buffer) => sector.writeUInt8(0x20, 16), /flags are 0x20/],
  ["is a mark with a range", (sector: Buffer) => sector.writeUInt8(8, 16), /a mark and something else/],
  ["has something behind its end", (sector: Buffer) => sector.writeUInt8(1, 511), /behind its end/],
  ["has something right behind its end", (sector: Buffer) => sector.writeUInt8(1, 32), /behind its end/],
  ["is beyond every device", (sector: Buffer) => sector.writeUInt8(0x7f, 7), /beyond what a device can have/],
] as const) {
  test(`a sector that ${what} is no entry`, () => {
    const sector = sectorOf({ offset: 0, length: 512 });
    spoil(sector);
    assert.match(String(decodeEntry(sector)), complaint);
  });
}

test("a mark longer than its sector is none", () => {
  const sector = sectorOf({ mark: "text" });
  sector.writeBigUInt64LE(480n, 24);
  assert.match(String(decodeEntry(sector)), /480 bytes/);
});

for (const [what, spoil, complaint] of [
  ["another magic", (sector: Buffer) => sector.writeUInt8(0, 0), /doesn't begin like one/],
  ["another version", (sector: Buffer) => sector.writeUInt8(2, 8), /version 2/],
  ["sectors of no size", (sector: Buffer) => sector.writeUInt32LE(0, 24), /sectors have 0 bytes/],
  ["more entries than can be", (sector: Buffer) => sector.writeUInt8(0xff, 23), /entries/],
] as const) {
  test(`a super block with ${what} is none`, () => {
    const sector = encodeSuper({ entries: 1, sectorSize: 512 });
    spoil(sector);
    assert.match(String(decodeSuper(sector)), complaint);
  });
}

test("a file that is too short for a super block is none", () => {
  assert.match(String(decodeSuper(new Uint8Array(27))), /27 bytes/);
});

test("no sector makes the decoder throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 512, maxLength: 512 }), (sector) => {
      decodeEntry(sector);
      decodeSuper(sector);
    }),
  );
});
