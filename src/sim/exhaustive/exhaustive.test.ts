import assert from "node:assert/strict";
import { test } from "node:test";
import { explore } from "./choices.ts";
import { contradiction, Ledger } from "./ledger.ts";
import { SECTORS, STEPS, type Step, scriptAt, scriptCount } from "./scripts.ts";
import { SmallStore } from "./small-store.ts";
import { describeSetting, SETTINGS, survey } from "./survey.ts";

/** Of the scripts of two steps, one in so many; the others are the long run's. Primes, so that all kinds of steps meet. */
const STRIDES = { memory: 211, shm: 211, disk: 613 };

const WRITE: Step = { kind: "write", first: 0, count: 1, fua: false };
const FLUSH: Step = { kind: "flush", first: 0, count: 0, fua: false };

for (const setting of SETTINGS) {
  test(`P1, P2, P3, P9 hold in every play of short scripts: ${describeSetting(setting)}`, () => {
    // A single step is at once in any case.
    const single = setting.pace === "one by one" ? [[1, 1] as const] : [];
    for (const [length, stride] of [...single, [2, STRIDES[setting.home]] as const]) {
      const { failure, plays } = survey({ setting, length, from: 0, stride });
      assert.equal(failure, undefined);
      assert.ok(plays > scriptCount(length) / stride, `${plays} plays only`);
    }
  });
}

test("every question is answered in each way that there is, once", () => {
  const seen: string[] = [];
  const plays = explore((choices) => {
    const first = choices.choose(3);
    seen.push(`${first}${first === 1 ? choices.choose(2) : ""}`);
  });
  assert.equal(plays, 4);
  assert.deepEqual(seen, ["0", "10", "11", "2"]);
});

test("the scripts are all sequences of all steps", () => {
  assert.equal(STEPS.length, 4 * 6 + 1);
  const two = new Set(Array.from({ length: scriptCount(2) }, (_, number) => JSON.stringify(scriptAt(2, number))));
  assert.equal(two.size, STEPS.length ** 2);
});

test("a death leaves any version of a sector since the last flush", () => {
  const left = new Set<number>();
  explore((choices) => {
    const store = new SmallStore();
    store.write(0, 1);
    store.complete(0);
    const mark = store.markFlush();
    store.write(0, 2);
    store.write(0, 3);
    store.flush(mark);
    store.loseCache((of) => choices.choose(of));
    left.add(store.read(0));
  });
  assert.deepEqual([...left], [1, 2, 3]);
});

test("an acknowledged write that is not found is a broken P1, and after a flush a broken P9", () => {
  const ledger = new Ledger();
  const found = new Array(SECTORS).fill(0);
  const kept = (sector: number) => ledger.kept(sector);
  const durable = (sector: number) => ledger.durable(sector);
  const acknowledge = ledger.arrives(WRITE, 1);
  assert.equal(contradiction(found, kept), undefined);
  acknowledge();
  assert.match(contradiction(found, kept) ?? "", /sector 0 holds write 0, 1 was wanted/);
  assert.equal(contradiction(found, durable), undefined);
  ledger.arrives(FLUSH, 0)();
  assert.match(contradiction(found, durable) ?? "", /sector 0/);
  ledger.arrives({ ...WRITE, kind: "trim" }, 0);
  assert.equal(contradiction(found, durable), undefined);
});
