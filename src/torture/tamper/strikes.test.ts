import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Strikes } from "./strikes.ts";
import { newFolder } from "./testing.ts";
import { Trigger } from "./trigger.ts";

test("of two processes that claim a strike one has it, and each strike's time is known, in order", (t) => {
  const folder = newFolder(t);
  const [one, other] = [new Strikes(folder), new Strikes(folder)];
  const before = Date.now();
  assert.deepEqual([one.claim(1), other.claim(1)], [true, false]);
  for (let number = 2; number <= 11; number++) other.claim(number);
  const { struck, timesMs } = Strikes.of(folder);
  assert.deepEqual([struck, timesMs.length], [true, 11]);
  for (const [index, time] of timesMs.entries())
    assert.ok(time >= (timesMs[index - 1] ?? before) && time <= Date.now());
  assert.equal(one.count, 11);
});

test("only one incarnation has a transient fault of the code, which is no strike yet", (t) => {
  const folder = newFolder(t);
  assert.deepEqual([new Strikes(folder).claimIncarnation(), new Strikes(folder).claimIncarnation()], [true, false]);
  assert.equal(Strikes.of(folder).struck, false);
});

for (const [persistence, lives] of [
  ["transient", ["..x......", "........."]],
  ["persistent", ["..x..x..x", "..x..x..x"]],
] as const) {
  test(`a ${persistence} fault with n = 3 strikes its calls in two lives: ${lives.join(", then ")}`, (t) => {
    const strikes = new Strikes(newFolder(t));
    for (const life of lives) {
      const trigger = new Trigger({ nth: 3, persistence }, strikes);
      assert.equal([...life].map(() => (trigger.pull() ? "x" : ".")).join(""), life);
    }
  });
}
