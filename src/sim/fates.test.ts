import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { Fates } from "./fates.ts";

test("a list of what came true makes the same come true, and leaves chance as it was", () => {
  const drawn = new Fates();
  const before = new SeededRandom(7);
  const first = Array.from({ length: 50 }, () => drawn.strikes("crash", before, 0.3));
  const listed = new Fates(drawn.list);
  const after = new SeededRandom(7);
  assert.deepEqual(
    Array.from({ length: 50 }, () => listed.strikes("crash", after, 0)),
    first,
  );
  assert.equal(after.next(), before.next());
});

test("what isn't on the list does not come true, planned or not", () => {
  const fates = new Fates({ upgrade: [2] });
  assert.deepEqual([fates.comes("upgrade"), fates.comes("upgrade"), fates.comes("upgrade")], [false, true, false]);
  assert.equal(fates.strikes("hang", new SeededRandom(1), 1), false);
  assert.deepEqual(fates.list, { upgrade: [2] });
});
