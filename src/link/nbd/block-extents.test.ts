import assert from "node:assert/strict";
import { test } from "node:test";
import { appendExtent } from "../../block/extents.ts";
import { SeededRandom } from "../../block/random.ts";
import type { Extent } from "../../block/request.ts";
import { blockExtents } from "./block-extents.ts";

const data = (length: number): Extent => ({ length, hole: false, zero: false });
const hole = (length: number): Extent => ({ length, hole: true, zero: true });
const zero = (length: number): Extent => ({ length, hole: false, zero: true });

for (const [what, extents, runs] of [
  ["whole blocks stay as they are", [data(512), hole(1024), zero(512)], [data(512), hole(1024), zero(512)]],
  ["a block that is a hole in part is data", [hole(700), data(324)], [hole(512), data(512)]],
  ["a hole counts from its first whole block", [data(100), hole(1436)], [data(512), hole(1024)]],
  ["a hole without a whole block is data", [data(100), hole(800), data(124)], [data(1024)]],
  ["a block of two kinds of zeroes is data", [hole(768), zero(768)], [hole(512), data(512), zero(512)]],
  ["an answer that ends inside a block covers that block", [hole(512), data(10)], [hole(512), data(512)]],
  ["a hole that ends inside the last block leaves that block out", [hole(1030)], [hole(1024), data(512)]],
  ["less than a block is data", [hole(100)], [data(512)]],
  ["many small ones are one run of data", [data(1), hole(1), data(1), hole(1), zero(508)], [data(512)]],
  ["neighbours of a kind are one run", [hole(512), hole(512)], [hole(1024)]],
] as const) {
  test(what, () => assert.deepEqual(blockExtents(extents, 512), runs));
}

test("zeroes are told of no byte that the server didn't tell them of", () => {
  const random = new SeededRandom(1);
  for (let round = 0; round < 200; round++) {
    const extents: Extent[] = [];
    for (let left = 1 + random.below(12); left > 0; left--) {
      const {
        length,
        hole: isHole,
        zero: isZero,
      } = ([data, hole, zero][random.below(3)] ?? data)(1 + random.below(1500));
      appendExtent(extents, length, isHole, isZero);
    }
    const runs = blockExtents(extents, 512);
    const told = bytesOf(extents);
    const bytes = bytesOf(runs);
    assert.equal(bytes.length, Math.ceil(told.length / 512) * 512);
    for (const [at, kind] of bytes.entries()) if (kind !== "data") assert.equal(kind, told[at]);
    for (const { length } of runs) assert.equal(length % 512, 0);
    // And of every block that is all of one kind.
    for (let at = 0; at + 512 <= told.length; at += 512) {
      if (new Set(told.slice(at, at + 512)).size === 1) assert.equal(bytes[at], told[at]);
    }
  }
});

function bytesOf(extents: readonly Extent[]): string[] {
  return extents.flatMap(({ length, hole: isHole, zero: isZero }) =>
    new Array<string>(length).fill(isHole ? "hole" : isZero ? "zero" : "data"),
  );
}
