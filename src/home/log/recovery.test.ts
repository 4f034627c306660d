import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { checksum } from "../../shadow/checksum.ts";
import { SECTOR } from "../../shadow/testing.ts";
import { END_CASES, HEADER_CASES, RECORD_CASES } from "./cases.ts";
import { AREA_START, areaBytes, byteOf, HEADER_BYTES, type LogPlace, SECTOR_BYTES, viewOf } from "./format.ts";
import { encodeHeader, type LogHeader } from "./header.ts";
import { encodeRecord, type LogRecordFields } from "./record.ts";
import { examine, type Findings } from "./recovery.ts";
import { LOG_ID, STORE } from "./testing-front.ts";

const SIZE = AREA_START + 32 * SECTOR_BYTES;
const AREA = areaBytes(SIZE);
const OTHER_ID = new Uint8Array(16).fill(9);
const TAIL: LogPlace = { position: 0, sequence: 5, chain: 0x1234, run: 2 };

/** A log as a front of run 3 may have left it, to be damaged by hand. */
class Image {
  readonly bytes = new Uint8Array(SIZE);
  next: LogPlace = { ...TAIL, run: 3 };

  constructor(header: Partial<LogHeader> = {}) {
    this.header({ sequence: 8, synced: 0, ...header });
  }

  header(changes: Partial<LogHeader>): this {
    const whole = {
      id: LOG_ID,
      sequence: 8,
      size: SIZE,
      run: 3,
      tail: TAIL,
      pid: 42,
      synced: 4,
      store: STORE,
      ...changes,
    };
    this.bytes.set(encodeHeader(whole), (whole.sequence % 2) * HEADER_BYTES);
    return this;
  }

  /** A write of `sectors`, at the head; `synced` is what it attests. */
  record(sectors = 1, changes: Partial<LogRecordFields> = {}, place: Partial<LogPlace> = {}): this {
    const data = new Uint8Array(sectors * SECTOR).fill(this.next.sequence);
    const at = { ...this.next, ...place };
    const usual = {
      id: LOG_ID,
      place: at,
      synced: 0,
      kind: "write",
      mayTrim: false,
      offset: 0,
      length: data.length,
    } as const;
    const dataFields = { dataBytes: data.length, dataChecksum: checksum(data) };
    const { sector, checksum: chain } = encodeRecord({ ...usual, ...dataFields, ...changes });
    const byte = byteOf(this.next.position, AREA);
    this.bytes.set(sector, byte);
    const kind = changes.kind ?? "write";
    if (kind === "write") this.bytes.set(data, byte + SECTOR_BYTES);
    const bytes =
      kind === "wrap" ? AREA - (this.next.position % AREA) : SECTOR_BYTES + (kind === "write" ? data.length : 0);
    this.next = { position: this.next.position + bytes, sequence: at.sequence + 1, chain, run: at.run };
    return this;
  }

  /** The first byte that is not of a record. */
  get head(): number {
    return byteOf(this.next.position, AREA);
  }

  examine(): Findings {
    const { bytes } = this;
    return examine({ size: bytes.length, read: (position, length) => bytes.slice(position, position + length) });
  }
}

function sequencesOf(found: Findings): number[] {
  return found.records.map(({ place }) => place.sequence);
}

const COVERED = new Set<string>();
function caseTest(
  name: keyof typeof HEADER_CASES | keyof typeof RECORD_CASES | keyof typeof END_CASES,
  does: string,
  run: () => void,
): void {
  COVERED.add(name);
  test(`${name}: ${does}`, run);
}

caseTest("both-good", "the newer header counts", () => {
  const found = new Image({ synced: 3 }).header({ sequence: 9, synced: 4 }).examine();
  assert.equal(found.headerCase, "both-good");
  assert.equal(found.header?.sequence, 9);
  assert.equal(found.damage, undefined);
});

caseTest("one-good", "a header that is torn leaves the other one", () => {
  const image = new Image().header({ sequence: 9 }).record();
  image.bytes.fill(0xaa, HEADER_BYTES + 512, HEADER_BYTES + 1024);
  const found = image.examine();
  assert.equal(found.headerCase, "one-good");
  assert.deepEqual(
    found.slots.map(({ slot }) => slot),
    ["good", "torn"],
  );
  assert.equal(found.header?.sequence, 8);
  assert.deepEqual(sequencesOf(found), [5]);
  assert.equal(new Image().examine().headerCase, "one-good", "the other one was never written");
});

caseTest("empty", "nothing but zeroes is a new log", () => {
  const image = new Image();
  image.bytes.fill(0);
  const found = image.examine();
  assert.equal(found.headerCase, "empty");
  assert.equal(found.damage, undefined);
  assert.deepEqual(found.records, []);
});

caseTest("both-bad", "two bad headers are damage", () => {
  const image = new Image().header({ sequence: 9 });
  image.bytes.fill(1, 600, 700);
  image.bytes.fill(1, HEADER_BYTES + 600, HEADER_BYTES + 700);
  assert.equal(image.examine().headerCase, "both-bad");
  assert.match(image.examine().damage ?? "", /neither header is good/);
});

caseTest("headers-gone", "records without headers are damage, not a new log", () => {
  const image = new Image().record();
  image.bytes.fill(0, 0, AREA_START);
  assert.equal(image.examine().headerCase, "headers-gone");
  assert.ok(image.examine().damage);
});

caseTest("other-ids", "headers of two logs are damage", () => {
  const found = new Image().header({ sequence: 9, id: OTHER_ID }).examine();
  assert.equal(found.headerCase, "other-ids");
  assert.ok(found.damage);
});

caseTest("foreign", "what is no log is not written over, also behind zeroes", () => {
  const image = new Image();
  image.bytes.fill(0x55);
  assert.equal(image.examine().headerCase, "foreign");
  assert.ok(image.examine().damage);
  image.bytes.fill(0);
  image.bytes[SIZE - 1] = 1;
  assert.equal(image.examine().headerCase, "foreign", "a disk whose first blocks are zeroes");
  const short = { size: 100, read: () => new Uint8Array(100) };
  assert.equal(examine(short).headerCase, "foreign", "too short for headers");
});

caseTest("newer-version", "a later version's log is left alone, whatever the other header says", () => {
  const image = new Image().header({ sequence: 9 });
  const view = viewOf(image.bytes.subarray(HEADER_BYTES, AREA_START));
  view.setUint32(8, 2, true);
  view.setUint32(12, 0, true);
  view.setUint32(12, checksum(image.bytes.subarray(HEADER_BYTES, AREA_START)), true);
  assert.equal(image.examine().headerCase, "newer-version");
  assert.ok(image.examine().damage);
});

caseTest("truncated", "a file that is shorter than its log is damage", () => {
  const found = new Image({ size: SIZE + SECTOR_BYTES }).examine();
  assert.equal(found.headerCase, "truncated");
  assert.ok(found.damage);
});

caseTest("next", "records are taken in order, until none follows", () => {
  const found = new Image().record().record(3).record(1, { kind: "zero", dataBytes: 0, dataChecksum: 0 }).examine();
  assert.deepEqual(sequencesOf(found), [5, 6, 7]);
  assert.equal(found.end.sequence, 8);
  assert.equal(found.damage, undefined);
});

caseTest("wrap", "the next record is looked for at the start", () => {
  const image = new Image();
  for (let i = 0; i < 7; i++) image.record(3);
  image.header({ sequence: 9, tail: image.next });
  image.record(1, { kind: "wrap", length: 0, dataBytes: 0, dataChecksum: 0 }).record(2);
  const found = image.examine();
  assert.deepEqual(
    found.records.map(({ kind }) => kind),
    ["wrap", "write"],
  );
  assert.equal(found.end.position, AREA + 3 * SECTOR_BYTES);
});

caseTest("full", "records may fill the log up to the tail, and are not taken twice", () => {
  const image = new Image();
  for (let i = 0; i < 8; i++) image.record(3);
  const found = image.examine();
  assert.equal(found.endsWith, "full");
  assert.equal(found.records.length, 8);
});

caseTest("unwritten", "zeroes end the log", () => {
  assert.equal(new Image().record().examine().endsWith, "unwritten");
});

caseTest("no-record", "other bytes end the log", () => {
  const image = new Image().record();
  image.bytes.fill(0x77, image.head, image.head + 512);
  assert.equal(image.examine().endsWith, "no-record");
  assert.equal(image.examine().damage, undefined);
});

caseTest("torn-header", "a damaged sector of a record ends the log", () => {
  const image = new Image().record();
  const torn = image.head;
  image.record().bytes.fill(1, torn + 100, torn + 101);
  assert.equal(image.examine().endsWith, "torn-header");
  assert.deepEqual(sequencesOf(image.examine()), [5]);
  assert.equal(image.examine().damage, undefined);
});

caseTest("torn-data", "a record whose data didn't all come ends the log", () => {
  const image = new Image().record();
  const torn = image.head;
  image
    .record(3)
    .record()
    .bytes.fill(0, torn + 2 * SECTOR_BYTES, torn + 3 * SECTOR_BYTES);
  assert.equal(image.examine().endsWith, "torn-data");
  assert.deepEqual(sequencesOf(image.examine()), [5]);
  assert.equal(image.examine().damage, undefined, "the record behind it is there, but never was durable");
});

caseTest("old-lap", "a record of the lap before ends the log", () => {
  const image = new Image();
  image.record().record();
  const tail = { ...image.next, position: AREA, sequence: 20 };
  image.header({ sequence: 9, tail });
  assert.equal(image.examine().endsWith, "old-lap");
  assert.equal(image.examine().damage, undefined);
});

caseTest("old-run", "what an earlier front wrote behind a lost record doesn't come back", () => {
  const image = new Image().record();
  const fork = image.next;
  // Run 3 wrote 6 and 7; 6 was lost; run 4 wrote another 6 over it, of the same length.
  image.record().record();
  image.next = { ...fork, run: 4 };
  image.record(1, { offset: 512 });
  image.header({ sequence: 9, run: 4 });
  const found = image.examine();
  assert.equal(found.endsWith, "old-run");
  assert.deepEqual(sequencesOf(found), [5, 6]);
  assert.equal(found.damage, undefined);
});

caseTest("other-log", "a record of an earlier log on the same device ends the log", () => {
  assert.equal(new Image().record().record(1, { id: OTHER_ID }).examine().endsWith, "other-log");
});

caseTest("overtaken", "a record of a later lap shows that the newer header is gone", () => {
  const found = new Image().record(1, {}, { position: AREA, sequence: 40 }).examine();
  assert.equal(found.endsWith, "overtaken");
  assert.match(found.damage ?? "", /record 5 at byte 8192 .*overtaken/);
});

caseTest("future-run", "a record of a front that no header knows is damage", () => {
  const found = new Image().record(1, {}, { run: 4 }).examine();
  assert.equal(found.endsWith, "future-run");
  assert.ok(found.damage);
});

caseTest("wrong-sequence", "a record that skips a sequence is damage", () => {
  const found = new Image().record(1, {}, { sequence: 6 }).examine();
  assert.equal(found.endsWith, "wrong-sequence");
  assert.ok(found.damage);
});

caseTest("wrong-chain", "a record that followed another one is damage: what a lost write leaves", () => {
  const found = new Image().record().record(1, {}, { chain: 1 }).examine();
  assert.equal(found.endsWith, "wrong-chain");
  assert.deepEqual(sequencesOf(found), [5]);
  assert.ok(found.damage);
});

for (const [what, changes] of [
  ["data past the end of the area", { dataBytes: 64 * SECTOR_BYTES, length: 64 * SECTOR_BYTES }],
  ["more data than its length", { length: 2 * SECTOR_BYTES }],
  ["a zero with data", { kind: "zero", length: SECTOR_BYTES, dataBytes: SECTOR_BYTES }],
  ["no length", { kind: "trim", length: 0, dataBytes: 0 }],
] as const) {
  caseTest("out-of-bounds", `${what} is damage`, () => {
    const found = new Image().record(1, changes).examine();
    assert.equal(found.endsWith, "out-of-bounds");
    assert.ok(found.damage);
  });
}

caseTest("end", "a lost tail that nothing speaks for is well", () => {
  const found = new Image({ synced: 5 }).record().examine();
  assert.equal(found.endCase, "end");
  assert.equal(found.damage, undefined);
});

caseTest("gap", "a record that the header, or a later record, knows as durable must be there", () => {
  const byHeader = new Image({ synced: 6 }).record().examine();
  assert.equal(byHeader.endCase, "gap");
  assert.match(
    byHeader.damage ?? "",
    /record 6 at byte 9216 was never written \(unwritten\); it was durable once.*\(gap\)/,
  );
  const image = new Image().record();
  const lost = image.head;
  image
    .record()
    .record(1, { synced: 6 })
    .bytes.fill(0, lost, lost + 512);
  assert.equal(image.examine().endCase, "gap");
  const harmless = new Image().record();
  harmless
    .record()
    .record(1, { synced: 5 })
    .bytes.fill(0, lost, lost + 512);
  assert.equal(harmless.examine().endCase, "end");
});

caseTest("later-front", "a later front's record anywhere shows that its header is gone", () => {
  const image = new Image().record();
  const lost = image.head;
  image
    .record()
    .record(1, {}, { run: 9 })
    .bytes.fill(0, lost, lost + 512);
  assert.equal(image.examine().endCase, "later-front");
  assert.ok(image.examine().damage);
});

test("each case of the table has its test", () => {
  const all = [HEADER_CASES, RECORD_CASES, END_CASES].flatMap((cases) => Object.keys(cases));
  assert.deepEqual(
    all.filter((name) => !COVERED.has(name)),
    [],
  );
});

test("docs/log.md has a row for each case, which says whether it is damage", () => {
  const page = readFileSync(new URL("../../../docs/log.md", import.meta.url), "utf8");
  for (const [name, { action }] of [HEADER_CASES, RECORD_CASES, END_CASES].flatMap((cases) => Object.entries(cases))) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
    assert.ok(row !== undefined, `there is no row for ${name}`);
    assert.equal(/\| (?:damaged|refused) \|$/.test(row), action === "damaged", row);
  }
});
