import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type FirstStrike, StrikeWatch, timeOf } from "./strike-watch.ts";
import { waitFor } from "./wait.ts";

const LIMIT_MS = 10_000;

test("the first strike is told once, by the clock of the load and by what was answered before it", async () => {
  const strikes: number[] = [];
  let requests = 0;
  const told: FirstStrike[] = [];
  const begun = Date.now();
  const watch = new StrikeWatch(
    () => strikes,
    () => requests++,
    (first) => told.push(first),
  );
  assert.ok(await waitFor(LIMIT_MS, () => requests > 3 || undefined));
  const before = requests;
  strikes.push(begun + 40, begun + 50);
  assert.ok(await waitFor(LIMIT_MS, () => watch.first));
  watch.end();
  assert.deepEqual(told, [watch.first]);
  // It began a little later than was looked here.
  const { ms = Number.NaN } = watch.first ?? {};
  assert.ok(ms <= 40 && ms > 40 - LIMIT_MS);
  assert.equal(watch.first?.requests, before - 1);
});

test("what struck before the load began is told so, and what never struck isn't told", () => {
  const told: string[] = [];
  const tell = (first: FirstStrike): void => void told.push(timeOf(first));
  const watches = [[Date.now() - 500], []].map((strikes) => {
    return new StrikeWatch(
      () => strikes,
      () => 0,
      tell,
    );
  });
  for (const watch of watches) watch.end();
  assert.equal(told.length, 1);
  assert.match(told[0] ?? "", /^5\d\d ms before the load began$/);
  assert.equal(watches[1]?.first, undefined);
});
