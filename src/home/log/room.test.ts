import { strict as assert } from "node:assert";
import { test } from "node:test";
import { newPiece } from "../../shadow/shadow.ts";
import { SECTOR } from "../../shadow/testing.ts";
import { AREA_START, ORIGIN, usableBytes } from "./format.ts";
import { Records } from "./records.ts";
import { Room } from "./room.ts";

const LIMITS = { pieces: 1000, requestBytes: 8 * SECTOR };
const AREA = 1000 * SECTOR;
const SIZE = AREA_START + AREA;

/** A record of a write, which lives. */
function append(records: Records, sectors: number) {
  const record = records.append((1 + sectors) * SECTOR, 0, 1);
  const shape = { offset: record.position, length: sectors * SECTOR, kind: "write", mayTrim: false } as const;
  const piece = newPiece({ ...shape, payload: undefined, start: 0, note: record.sequence });
  records.add(record, piece);
  return { record, piece };
}

test("little that pins much is carried, much that lives is not", () => {
  const records = new Records(ORIGIN);
  const room = new Room(records, SIZE, LIMITS, ORIGIN);
  append(records, 7);
  const others = Array.from({ length: 40 }, () => append(records, 7));
  assert.ok(!room.wantsCarrying());
  for (const { record, piece } of others) records.remove(record, piece, record.sequence);
  assert.ok(room.wantsCarrying());
});

test("nothing is carried where there is no room for all of it, until a header has freed some", () => {
  const records = new Records(ORIGIN);
  const room = new Room(records, SIZE, LIMITS, ORIGIN);
  const dead = Array.from({ length: 80 }, () => append(records, 7));
  const pieces = Array.from({ length: 20 }, () => append(records, 7));
  const between = Array.from({ length: 20 }, () => append(records, 7));
  for (const { record, piece } of [...dead, ...between]) records.remove(record, piece, record.sequence);
  assert.equal(records.live, pieces.length * 8 * SECTOR);
  assert.ok(!room.wantsCarrying(), "960 sectors of 1000 are taken, and 160 live");
  records.advance(records.last);
  room.freed(records.tail);
  assert.ok(room.wantsCarrying());
});

test("a writer who is turned away is let in when the header has freed room", () => {
  const records = new Records(ORIGIN);
  const room = new Room(records, SIZE, LIMITS, ORIGIN);
  const written = [];
  while (room.admit(8 * SECTOR, true)) {
    written.push(append(records, 8));
    room.leave(8 * SECTOR, true);
  }
  assert.ok(records.head.position <= usableBytes(SIZE, LIMITS));
  assert.ok(room.isShort);
  assert.equal(room.headerStep, 1, "any byte is worth a header now");
  for (const { record, piece } of written) records.remove(record, piece, record.sequence);
  assert.ok(!room.admit(8 * SECTOR, true), "nothing is free before the header is durable");
  records.advance(records.last);
  assert.ok(room.freed(records.tail));
  assert.ok(room.admit(8 * SECTOR, true));
});

test("records are bounded, too", () => {
  const records = new Records(ORIGIN);
  const room = new Room(records, SIZE, { ...LIMITS, pieces: 10 }, ORIGIN);
  let count = 0;
  while (room.admit(SECTOR, false)) {
    append(records, 0);
    room.leave(SECTOR, false);
    count++;
  }
  assert.equal(count, 22);
});
