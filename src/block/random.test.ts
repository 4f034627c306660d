import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "./random.ts";

const DRAWS = 10_000;

test("the same seed gives the same numbers, on every machine", () => {
  const random = new SeededRandom(7);
  assert.deepEqual(
    Array.from({ length: 4 }, () => random.next()),
    [100587536, 2849664703, 2976894644, 2427842431],
  );
});

test("neighbouring seeds and streams have nothing in common", () => {
  const firsts = new Set<number>();
  for (let seed = 0; seed < 100; seed++) {
    for (let stream = 0; stream < 100; stream++) firsts.add(new SeededRandom(seed, stream).next());
  }
  assert.ok(firsts.size > 9_990, `${firsts.size}`);
});

test("magnitudes stay within their bounds, and reach both", () => {
  const random = new SeededRandom(3);
  const drawn = Array.from({ length: DRAWS }, () => random.magnitude(2, 300));
  assert.equal(Math.min(...drawn), 2);
  assert.equal(Math.max(...drawn), 300);
  const small = drawn.filter((value) => value < 25).length;
  assert.ok(small > DRAWS * 0.4 && small < DRAWS * 0.6, `${small}`);
});

test("a shuffle keeps all items", () => {
  const items = [1, 2, 3, 4, 5, 6, 7];
  const shuffled = new SeededRandom(1).shuffled(items);
  assert.deepEqual(shuffled.toSorted(), items);
  assert.notDeepEqual(shuffled, items);
});
