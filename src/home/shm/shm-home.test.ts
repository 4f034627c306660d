import assert from "node:assert/strict";
import { test } from "node:test";
import type { Payload } from "../../block/memory.ts";
import { Arena, arenaLayout } from "../../link/arena.ts";
import type { Home, KnownStore, RemainingPiece, Remains } from "../../shadow/home.ts";
import { newPiece } from "../../shadow/shadow.ts";
import { GEOMETRY } from "../../shadow/testing.ts";
import { Cells } from "./cells.ts";
import { ENTRIES, ENTRY_BYTES, LIVE, STORE_BYTES, STORES } from "./format.ts";
import { createShmHome, ledgerBytes, takeUpShmHome } from "./shm-home.ts";
import { Killed, MortalCells } from "./testing.ts";

const PIECES = 8;
const STORE: KnownStore = { geometry: GEOMETRY, epoch: 7, kind: "test", identity: "this one" };
const COMMIT = 40;

const layout = arenaLayout(0);
const data = new Uint8Array(layout.totalBytes);

/** An empty ledger, and the home that writes to it. */
function begin(pieces = PIECES): { memory: ArrayBuffer; arena: Arena; home: Home } {
  const memory = new ArrayBuffer(ledgerBytes(pieces));
  const arena = newArena();
  return { memory, arena, home: createShmHome(new Cells(memory), arena, pieces) };
}

function newArena(): Arena {
  return new Arena(layout, data);
}

function takeUp(memory: ArrayBuffer, pieces = PIECES): Remains & { home: Home; arena: Arena } {
  const arena = newArena();
  const { home, remains } = takeUpShmHome(new Cells(memory), arena, pieces);
  return { ...remains, home, arena };
}

function write(offset: number, length: number, payload: Payload | undefined, start = 0) {
  return newPiece({ offset, length, kind: "write", mayTrim: false, payload, start, note: 0 });
}

function zero(offset: number, length: number, mayTrim = false) {
  return newPiece({ offset, length, kind: "zero", mayTrim, payload: undefined, start: 0, note: 0 });
}

function trim(offset: number, length: number) {
  return newPiece({ offset, length, kind: "trim", mayTrim: false, payload: undefined, start: 0, note: 0 });
}

/** What may differ between two fronts left out. */
function describe({ store, pieces }: Remains): string {
  const lines = pieces.map(
    ({ offset, length, kind, mayTrim, payload, start, note }: RemainingPiece) =>
      `${offset}+${length} ${kind} ${mayTrim} ${payload?.slots[0]?.address}+${start} note ${note}`,
  );
  return [JSON.stringify(store), ...lines.sort()].join("\n");
}

test("a ledger has the layout that its picture shows", () => {
  const { memory, arena, home } = begin();
  home.remember(STORE);
  const payload = arena.allocate(8192);
  home.put(write(2 ** 40, 4096, payload, 512));
  home.put(zero(0, 2 ** 33, true));
  const view = new DataView(memory);
  const bytes = Buffer.from(memory);
  assert.equal(bytes.toString("latin1", 0, 8), "SKINKSHM");
  assert.deepEqual(
    [8, 16, 20].map((at) => view.getUint32(at, true)),
    [1, PIECES + 64, arena.shape.length],
  );
  assert.equal(bytes.toString("latin1", 24, 24 + arena.shape.length), arena.shape);
  const store = STORES + STORE_BYTES;
  const json = JSON.stringify(STORE);
  assert.deepEqual(
    [0, 16].map((at) => view.getUint32(store + at, true)),
    [LIVE, json.length],
  );
  assert.equal(bytes.toString("latin1", store + 20, store + 20 + json.length), json);
  const entry = (index: number): number[] => {
    const at = ENTRIES + index * ENTRY_BYTES;
    const numbers = [0, 8, 16, 24].map((field) => view.getFloat64(at + field, true));
    return [...numbers, view.getUint32(at + 32, true), view.getUint32(at + COMMIT, true)];
  };
  assert.deepEqual(entry(0), [1, 2 ** 40, 4096, (payload?.slots[0]?.address ?? 0) + 512, 0, LIVE]);
  assert.deepEqual(entry(1), [2, 0, 2 ** 33, 0, 0x101, LIVE]);
  assert.equal(view.getUint32(ENTRIES + 2 * ENTRY_BYTES + COMMIT, true), 0);
});

test("what was put is found, with its data, its store and room for more", () => {
  const { memory, arena, home } = begin();
  home.remember({ ...STORE, epoch: 6 });
  home.remember(STORE);
  const payload = arena.allocate(8192) as Payload;
  payload.slots[0]?.bytes.fill(3);
  const left = write(4096, 8192, payload);
  home.put(left);
  home.put(zero(1 << 20, 4096, true));
  home.put(trim(2 << 20, 4096));
  // A writer in the middle of the first: its data is in one slot still.
  Object.assign(left, { length: 1024 });
  const right = write(4096 + 2048, 8192 - 2048, payload, 2048);
  right.note = left.note;
  home.cut(left, right);

  const next = takeUp(memory);
  assert.deepEqual(next.store, STORE);
  const found = next.pieces.toSorted((a, b) => a.offset - b.offset);
  const seen = found.map(({ offset, length, kind, mayTrim, start }) => [offset, length, kind, mayTrim, start]);
  assert.deepEqual(seen, [
    [4096, 1024, "write", false, 0],
    [6144, 6144, "write", false, 2048],
    [1 << 20, 4096, "zero", true, 0],
    [2 << 20, 4096, "trim", false, 0],
  ]);
  const shared = found[0]?.payload as Payload;
  assert.equal(found[1]?.payload, shared);
  assert.deepEqual([shared.references, shared.slots.length, shared.slots[0]?.bytes[5000]], [2, 1, 3]);
  assert.equal(next.arena.usedBytes, shared.slots[0]?.bytes.byteLength);
});

test("newer pieces count, although the older ones have not been cut", () => {
  const { memory, home } = begin();
  home.remember(STORE);
  home.put(zero(0, 3 * 4096));
  home.put(trim(4096, 4096));
  const { pieces } = takeUp(memory);
  const found = pieces.map(({ offset, length, kind }) => [offset, length, kind]);
  assert.deepEqual(found, [
    [0, 4096, "zero"],
    [4096, 4096, "trim"],
    [8192, 4096, "zero"],
  ]);
});

test("pieces that were taken up can be cut and dropped, and newer ones are newer than they", () => {
  const { memory, home } = begin();
  home.remember(STORE);
  for (let i = 0; i < 3; i++) home.put(zero(i * 4096, 4096));
  const next = takeUp(memory);
  next.home.put(trim(0, 2 * 4096));
  const [first, , last] = next.pieces.map(newPiece);
  assert(first !== undefined && last !== undefined);
  next.home.drop(first);
  Object.assign(last, { length: 512 });
  next.home.cut(last, undefined);
  const found = takeUp(memory).pieces.map(({ offset, length, kind }) => [offset, length, kind]);
  assert.deepEqual(found, [
    [0, 8192, "trim"],
    [8192, 512, "zero"],
  ]);
});

test("what was dropped is gone, and nothing remains in the end", () => {
  const { memory, arena, home } = begin();
  home.remember(STORE);
  const piece = write(0, 4096, arena.allocate(4096));
  home.put(piece);
  home.drop(piece);
  assert.deepEqual(takeUp(memory).pieces, []);
  assert.throws(() => home.drop(piece), { code: "ERR_ASSERTION" });
});

test("a cut that a front dies of leaves one piece, or two, and no fragments", () => {
  for (let stores = 0; stores < 15; stores++) {
    const cells = new MortalCells(new ArrayBuffer(ledgerBytes(PIECES)));
    const home = createShmHome(cells, newArena(), PIECES);
    home.remember(STORE);
    const piece = zero(0, 12288);
    home.put(piece);
    const rest = zero(8192, 4096);
    rest.note = piece.note;
    Object.assign(piece, { length: 4096 });
    cells.left = stores;
    assert.throws(() => home.cut(piece, rest), Killed);
    const found = takeUp(cells.bytes.buffer as ArrayBuffer).pieces.map(({ offset, length }) => [offset, length]);
    assert.deepEqual(found, [[0, 12288]]);
  }
});

test("a full shadow can be cut, and taken up again and again", () => {
  const { memory, home } = begin();
  home.remember(STORE);
  const pieces = Array.from({ length: PIECES }, (_, i) => zero(i * 8192, 8192));
  for (const piece of pieces) home.put(piece);
  for (let round = 0; round < 100; round++) {
    for (const piece of takeUp(memory).pieces) assert(piece.length > 0);
  }
  for (const piece of pieces) {
    const rest = zero(piece.offset + 8192 - 512, 512);
    Object.assign(piece, { length: 512 });
    rest.note = piece.note;
    home.cut(piece, rest);
  }
  assert.equal(takeUp(memory).pieces.length, 2 * PIECES);
});

test("a change of any byte is refused, or changes nothing", () => {
  const { memory, arena, home } = begin();
  home.remember({ ...STORE, epoch: 6 });
  home.remember(STORE);
  const gone = trim(0, 4096);
  home.put(gone);
  for (let i = 1; i < 4; i++) home.put(write(i * 8192, 4096, arena.allocate(4096)));
  home.put(zero(1 << 20, 4096));
  home.drop(gone);
  const expected = describe(takeUp(memory.slice(0)));
  const bytes = new Uint8Array(memory);
  let refused = 0;
  for (const at of placesOf(memory.byteLength)) {
    for (const mask of [0x01, 0x80, 0xff, bytes[at] ?? 0]) {
      const before = bytes.slice();
      bytes[at] = (bytes[at] as number) ^ mask;
      const changed = bytes.slice();
      try {
        assert.equal(describe(takeUp(memory)), expected, `byte ${at}`);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        assert.deepEqual(bytes, changed, "what is refused is left as it is");
        refused++;
      }
      bytes.set(before);
    }
  }
  assert(refused > 1000);
});

/** The first bytes of each part that go beyond what is used there, and all of the entries. */
function* placesOf(bytes: number): Generator<number> {
  for (const from of [0, STORES, STORES + STORE_BYTES]) for (let at = from; at < from + 320; at++) yield at;
  for (let at = ENTRIES; at < bytes; at++) yield at;
}

function isRefusal(error: unknown): boolean {
  const { code, message } = error as { code?: string; message: string };
  const isOurs = code === "ledger-damaged" || code === "ledger-mismatch";
  return isOurs && message.startsWith("Cannot take up the shadow: ") && !message.includes("\n");
}

test("each field of an entry that counts is checked", () => {
  const { memory, home } = begin();
  home.remember(STORE);
  home.put(zero(0, 4096));
  const bytes = new Uint8Array(memory);
  for (let at = ENTRIES; at < ENTRIES + COMMIT + 4; at++) {
    bytes[at] = (bytes[at] as number) ^ 0x10;
    assert.throws(() => takeUp(memory), {
      code: "ledger-damaged",
      message: "Cannot take up the shadow: entry 0 of the ledger is not what was written",
    });
    bytes[at] = (bytes[at] as number) ^ 0x10;
  }
  takeUp(memory);
});

test("each field of the header is checked", () => {
  const { memory, home } = begin(2 * PIECES);
  home.remember(STORE);
  const bytes = new Uint8Array(memory);
  for (let at = 0; at < 24 + newArena().shape.length; at++) {
    for (const mask of [0x01, 0x10]) {
      bytes[at] = (bytes[at] as number) ^ mask;
      assert.throws(() => takeUp(memory), isRefusal, `byte ${at}`);
      bytes[at] = (bytes[at] as number) ^ mask;
    }
  }
  takeUp(memory);
});

test("an entry in another's place is damage", () => {
  const { memory, home } = begin();
  home.remember(STORE);
  home.put(zero(0, 4096));
  new Uint8Array(memory).copyWithin(ENTRIES + ENTRY_BYTES, ENTRIES, ENTRIES + ENTRY_BYTES);
  assert.throws(() => takeUp(memory), { code: "ledger-damaged", message: /entry 1 of the ledger/ });
});

test("a piece whose data would lie outside of the slots is damage", () => {
  for (const address of [0, layout.totalBytes, layout.totalBytes - 512, 2 ** 52]) {
    const { memory, home } = begin();
    home.remember(STORE);
    const bytes = new Uint8Array(4096);
    home.put(write(0, 4096, { slots: [{ address, bytes }], length: 4096, references: 1 }));
    assert.throws(() => takeUp(memory), { code: "ledger-damaged", message: /entry 0 .* outside of the memory/ });
  }
});

test("pieces without a known store are damage, and an empty ledger is none", () => {
  const { memory, home } = begin();
  assert.deepEqual([takeUp(memory).store, takeUp(memory).pieces], [undefined, []]);
  home.put(zero(0, 4096));
  assert.throws(() => takeUp(memory), { code: "ledger-damaged", message: /says nothing of their store/ });
});

test("another version, other limits, and what is no ledger are refused", () => {
  const { memory } = begin();
  const refusal = (change: () => void, code: string, message: RegExp): void => {
    const before = memory.slice(0);
    change();
    assert.throws(() => takeUp(memory), { code, message });
    new Uint8Array(memory).set(new Uint8Array(before));
  };
  refusal(() => new DataView(memory).setUint32(8, 2, true), "ledger-mismatch", /version is 2, 1 was wanted/);
  refusal(() => new Uint8Array(memory).fill(0), "ledger-damaged", /holds no ledger/);
  assert.throws(() => takeUp(memory.slice(0, -8)), {
    code: "ledger-damaged",
    message: /has \d+ bytes, \d+ were wanted/,
  });
  assert.throws(() => takeUp(memory.slice(0, 100)), { code: "ledger-damaged", message: /has 100 bytes, at least/ });
  assert.throws(() => takeUp(memory, PIECES + 1), { code: "ledger-mismatch", message: /for 8 pieces, 9 are wanted/ });
  const larger = new Arena(arenaLayout(512 << 20), new Uint8Array(arenaLayout(512 << 20).totalBytes));
  assert.throws(() => takeUpShmHome(new Cells(memory), larger, PIECES), {
    code: "ledger-mismatch",
    message: /memory of 32768x4096 .* bytes, 65536x4096 .* are wanted by the limits of now/,
  });
});
