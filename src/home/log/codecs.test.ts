import { strict as assert } from "node:assert";
import { test } from "node:test";
import { HEADER_BYTES, SECTOR_BYTES } from "./format.ts";
import { decodeHeader, encodeHeader, fitsHeader } from "./header.ts";
import { decodeRecord, encodeRecord, isRecord } from "./record.ts";
import { LOG_ID, STORE } from "./testing-front.ts";

const ID = "0102030405060708090a0b0c0d0e0f10";

const HEADER = {
  id: LOG_ID,
  sequence: 0x1_0000_0002,
  size: 0x1000_0000,
  run: 3,
  tail: { position: 0x2_0000_0200, sequence: 5, chain: 0x89abcdef, run: 2 },
  pid: 42,
  synced: 4,
  store: STORE,
};

const RECORD = {
  id: LOG_ID,
  place: { position: 0x2_0000_0200, sequence: 5, chain: 0x89abcdef, run: 3 },
  synced: 4,
  kind: "zero",
  mayTrim: true,
  offset: 0x1_0000_0000,
  length: 0x2000,
  dataBytes: 0,
  dataChecksum: 0,
} as const;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

test("a header has these bytes", () => {
  const bytes = encodeHeader(HEADER);
  assert.equal(bytes.length, HEADER_BYTES);
  assert.equal(hex(bytes.subarray(0, 12)), "534b494e4b4c4f4701000000");
  assert.equal(hex(bytes.subarray(12, 16)), "9076b2d2");
  assert.equal(hex(bytes.subarray(16, 56)), `${ID}020000000100000000000010000000000300000000000000`);
  assert.equal(hex(bytes.subarray(56, 88)), "00020000020000000500000000000000" + "0200000000000000efcdab892a000000");
  const json = JSON.stringify(STORE);
  assert.equal(hex(bytes.subarray(88, 100)), "040000000000000082040000");
  assert.equal(Buffer.from(bytes.subarray(100, 100 + json.length)).toString(), json);
  assert.ok(bytes.subarray(100 + json.length).every((byte) => byte === 0));
  assert.deepEqual(decodeHeader(bytes), { slot: "good", header: HEADER });
});

test("a record has these bytes", () => {
  const { sector, checksum } = encodeRecord(RECORD);
  assert.equal(sector.length, SECTOR_BYTES);
  assert.equal(hex(sector.subarray(0, 8)), "534b494e4b524543");
  assert.equal(hex(sector.subarray(8, 12)), "01166d7f");
  assert.equal(hex(sector.subarray(12, 32)), `efcdab89${ID}`);
  assert.equal(hex(sector.subarray(32, 64)), "03000000000000000500000000000000" + "00020000020000000400000000000000");
  assert.equal(hex(sector.subarray(64, 92)), "0201000000000000" + "0000000001000000" + "0020000000000000" + "00000000");
  assert.ok(sector.subarray(92).every((byte) => byte === 0));
  assert.ok(isRecord(sector));
  assert.deepEqual(decodeRecord(sector), { ...RECORD, checksum });
});

test("what is decoded doesn't change with the buffer that it was read into", () => {
  for (const [decode, bytes] of [
    [(read: Uint8Array) => decodeHeader(read).header?.id, encodeHeader(HEADER)],
    [(read: Uint8Array) => decodeRecord(read)?.id, encodeRecord(RECORD).sector],
  ] as const) {
    // Whose slice copies nothing.
    const read = Buffer.from(bytes);
    const id = decode(read);
    read.fill(0);
    assert.deepEqual(id, LOG_ID);
  }
});

test("no changed bit of a header or a record goes unnoticed", () => {
  const header = encodeHeader(HEADER);
  const { sector } = encodeRecord(RECORD);
  for (let bit = 0; bit < header.length * 8; bit += 7) {
    const changed = header.slice();
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.notEqual(decodeHeader(changed).slot, "good");
  }
  for (let bit = 0; bit < sector.length * 8; bit++) {
    const changed = sector.slice();
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.ok(!isRecord(changed) || decodeRecord(changed) === undefined);
  }
});

test("an identity that has no room in a header is left out, and the rest is kept", () => {
  const store = { ...STORE, identity: "\u0001".repeat(1024) };
  assert.equal(fitsHeader(store), false);
  const { header } = decodeHeader(encodeHeader({ ...HEADER, store }));
  assert.equal(header?.store?.epoch, STORE.epoch);
  assert.equal(header?.store?.identity, undefined);
  assert.ok(fitsHeader({ ...STORE, identity: "é".repeat(1024) }));
});
