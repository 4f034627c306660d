import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { overlaps } from "../block/geometry.ts";
import { type Piece, PieceMap } from "./piece-map.ts";

const SECTORS = 400;

function piece(offset: number, length: number, id: number): Piece {
  return {
    offset,
    length,
    kind: "write",
    mayTrim: false,
    payload: { slots: [], length, references: 1 },
    start: id * 10_000,
    generation: 1,
    completedAt: 0,
    refused: 0,
    withheld: false,
    covered: false,
    charges: undefined,
    contested: false,
    replay: undefined,
    gone: false,
    note: 0,
  };
}

/** What each sector belongs to, and which byte of which payload it is: pieces start at id × 10,000. */
function sectorsOf(map: PieceMap): (number | undefined)[] {
  const sectors = new Array<number | undefined>(SECTORS).fill(undefined);
  let before = 0;
  for (const { offset, length, start } of map) {
    assert(offset >= before && length > 0, "pieces are in order and don't overlap");
    before = offset + length;
    for (let i = 0; i < length; i++) sectors[offset + i] = start + i;
  }
  return sectors;
}

const range = fc.tuple(fc.nat(SECTORS - 1), fc.integer({ min: 1, max: 40 })).map(([offset, length]) => ({
  offset,
  length: Math.min(length, SECTORS - offset),
}));

test("the map holds the newest write of every sector, and the right bytes of it", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ range, keep: fc.boolean() }), { maxLength: 600 }), (writes) => {
      const map = new PieceMap();
      const model = new Array<number | undefined>(SECTORS).fill(undefined);
      let references = 0;
      for (const [id, { range: written, keep }] of writes.entries()) {
        const shrunk: Piece[] = [];
        const remainders = map.cut(
          written.offset,
          written.length,
          (cut) => {
            assert(cut.gone);
            references--;
          },
          (left, rest) => shrunk.push(...(rest === undefined ? [] : [rest]), left),
        );
        for (const { offset, length } of shrunk) assert(!overlaps(offset, length, written.offset, written.length));
        assert.deepEqual(
          shrunk.filter((left) => remainders.includes(left)),
          remainders,
        );
        references += remainders.length;
        model.fill(undefined, written.offset, written.offset + written.length);
        if (!keep) continue;
        map.insert(piece(written.offset, written.length, id + 1));
        references++;
        for (let i = 0; i < written.length; i++) model[written.offset + i] = (id + 1) * 10_000 + i;
      }
      assert.deepEqual(sectorsOf(map), model);
      assert.equal(map.size, references);
      assert.equal([...map].length, map.size);
    }),
    { numRuns: 200 },
  );
});

test("overlapping finds exactly the pieces that share a byte with the range, in order", () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 300 }), range, (writes, asked) => {
      const map = new PieceMap();
      for (const [id, { offset, length }] of writes.entries()) {
        map.cut(
          offset,
          length,
          () => {},
          () => {},
        );
        map.insert(piece(offset, length, id));
      }
      const expected = [...map].filter(
        ({ offset, length }) => offset < asked.offset + asked.length && asked.offset < offset + length,
      );
      assert.deepEqual(map.overlapping(asked.offset, asked.length), expected);
    }),
  );
});

test("release takes out what it is told to, over many chunks", () => {
  const map = new PieceMap();
  for (let i = 0; i < 5000; i++) map.insert(piece(i * 2, 1, i));
  map.release(({ offset }) => offset % 4 === 0);
  assert.equal(map.size, 2500);
  assert.deepEqual(
    [...map].map(({ offset }) => offset),
    Array.from({ length: 2500 }, (_, i) => i * 4 + 2),
  );
  map.release(() => true);
  assert.equal(map.size, 0);
  assert.deepEqual(map.overlapping(0, 100_000), []);
});

test("both halves of a piece that is cut in the middle share its payload", () => {
  const map = new PieceMap();
  const whole = piece(0, 10, 1);
  map.insert(whole);
  const told: unknown[] = [];
  const remainders = map.cut(
    4,
    2,
    () => assert.fail("nothing is gone"),
    (...cut) => told.push(cut),
  );
  assert.deepEqual(
    [...map].map(({ offset, length, start }) => ({ offset, length, start })),
    [
      { offset: 0, length: 4, start: 10_000 },
      { offset: 6, length: 4, start: 10_006 },
    ],
  );
  assert.deepEqual(told, [[whole, remainders[0]]]);
  assert.equal(remainders[0]?.payload, whole.payload);
  assert.equal(whole.payload?.references, 2);
});
