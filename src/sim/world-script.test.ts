import assert from "node:assert/strict";
import { test } from "node:test";
import { profileOf } from "./draw-profile.ts";
import { runWorld } from "./world.ts";
import { differences, replaced, runScript, scriptOf } from "./world-script.ts";

const SEEDS = 15;

test(`a world that is written down goes the same way again, ${SEEDS} times`, () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const script = JSON.parse(JSON.stringify(scriptOf(seed, profileOf(seed))));
    assert.equal(runScript(script).hash, runWorld({ seed }).hash, `seed ${seed}`);
  }
});

test("differences are found leaf by leaf, and a replacement removes one", () => {
  const plain = { a: 1, b: { c: 2, d: [3] } };
  const odd = { a: 1, b: { c: 5, d: [4] }, e: "new" };
  assert.deepEqual(
    differences(odd, plain).map(({ path }) => path.join(".")),
    ["b.c", "b.d", "e"],
  );
  assert.deepEqual(replaced(odd, ["b", "c"], 2), { a: 1, b: { c: 2, d: [4] }, e: "new" });
  assert.deepEqual(replaced(odd, ["e"], undefined), { a: 1, b: { c: 5, d: [4] } });
});
