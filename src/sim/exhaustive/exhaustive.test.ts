import assert from "node:assert/strict";
import { test } from "node:test";
import { explore } from "./choices.ts";
import { Ledger } from "./ledger.ts";
import { playToLosses, recover } from "./play.ts";
import { Recoveries } from "./recoveries.ts";
import { SECTORS, STEPS, type Step, scriptAt, scriptCount } from "./scripts.ts";
import { describeSetting, SETTINGS } from "./setting.ts";
import { SmallStore } from "./small-store.ts";
import { Surveyor } from "./survey.ts";
import { ANY_REST, judge } from "./verdict.ts";

/** Of the scripts of two steps, one in so many; the others are the long run's. A prime, so that all kinds of steps meet. */
const STRIDE = 23;

const WRITE: Step = { kind: "write", first: 0, count: 1, fua: false };
const FLUSH: Step = { kind: "flush", first: 0, count: 0, fua: false };

const surveyor = new Surveyor();
for (const setting of SETTINGS) {
  test(`P1, P2, P3, P9 hold in every play of short scripts: ${describeSetting(setting)}`, () => {
    // A single step is at once in any case.
    const single = setting.pace === "one by one" ? [[1, 1] as const] : [];
    for (const [length, stride] of [...single, [2, STRIDE] as const]) {
      const until = scriptCount(length);
      const { failure, states, scripts } = surveyor.survey({ setting, length, from: 0, stride, until });
      assert.equal(failure, undefined);
      assert.ok(states > 5 * scripts, `${states} states only`);
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
  const store = new SmallStore([[0]]);
  store.write(0, 1);
  store.write(0, 2);
  store.complete(0);
  const mark = store.markFlush();
  store.write(0, 3);
  store.write(0, 4);
  assert.deepEqual(store.rests(), [[0, 1, 2, 3, 4]]);
  store.flush(mark);
  assert.deepEqual(store.rests(), [[2, 3, 4]]);
  store.loseCache();
  assert.deepEqual(store.rests(), [[2]]);
});

test("what is played once comes to what each of its states comes to by itself", () => {
  let compared = 0;
  for (const setting of SETTINGS.filter(({ death }) => death !== "driver")) {
    const recoveries = new Recoveries(setting);
    for (const number of [13, 28, 301, 451]) {
      const losses = playToLosses({ ...setting, script: scriptAt(2, number) }, () => 0, recoveries.sectors);
      for (const loss of losses) recoveries.after(loss);
      const stride = setting.home === "disk" && setting.death === "power" ? 11 : 1;
      for (const loss of losses.filter((_, point) => point % stride === number % stride)) {
        const expected = new Set<string>();
        for (const { outcome } of recoveries.after(loss).recovered) {
          explore((choices) => {
            const store = loss.store.map((versions) => versions[choices.choose(versions.length)] as number);
            const held = (id: number, sector: number) => (id === ANY_REST ? store[sector] : id);
            expected.add(JSON.stringify([store, outcome.found.map(held), outcome.after.map(held)]));
          });
        }
        const found = new Set<string>();
        explore((choices) => {
          const choose = (of: number) => choices.choose(of);
          const store = loss.store.map((versions) => versions[choose(versions.length)] as number);
          const home = loss.home.rest(choose).home();
          const outcome = recover(setting, home, loss.epoch, choose, new SmallStore(store.map((id) => [id])));
          found.add(JSON.stringify([store, outcome.found, outcome.after]));
          compared++;
        });
        assert.deepEqual(found, expected);
      }
    }
  }
  assert.ok(compared > 500, `${compared} compared only`);
});

test("an acknowledged write that is not found is a broken P1, and after a flush a broken P9", () => {
  const ledger = new Ledger();
  const nothing = new Array(SECTORS).fill(0);
  const outcome = { found: nothing, again: nothing, after: nothing };
  const verdict = (promise: "P1" | "P9") => () => {
    const { kept, durable } = ledger.promised;
    judge(
      promise,
      outcome,
      [],
      promise === "P1" ? kept : durable,
      nothing.map(() => false),
    );
  };
  const acknowledge = ledger.arrives(WRITE, 1);
  verdict("P1")();
  acknowledge();
  assert.throws(verdict("P1"), /sector 0 holds write 0; 1 was wanted/);
  verdict("P9")();
  ledger.arrives(FLUSH, 0)();
  assert.throws(verdict("P9"), /P9: sector 0/);
  ledger.arrives({ ...WRITE, kind: "trim" }, 0);
  verdict("P9")();
});

test("each rest of the store has to be allowed, and to stay", () => {
  const [rest, all, none] = [
    [ANY_REST, 0, 0],
    [[1, 2], [0], [0]],
    [new Set([2]), new Set([0]), new Set([0])],
  ] as const;
  const stable = [false, false, false];
  const both = [new Set([1, 2]), ...none.slice(1)];
  judge("P1", { found: rest, again: rest, after: rest }, all, both, stable);
  assert.throws(
    () => judge("P1", { found: rest, again: rest, after: rest }, all, none, stable),
    /sector 0 holds write 1/,
  );
  assert.throws(() => judge("P1", { found: rest, again: [2, 0, 0], after: rest }, all, both, stable), /P1: sector 0/);
  assert.throws(() => judge("P1", { found: rest, again: rest, after: [2, 0, 0] }, all, both, stable), /P2: sector 0/);
  judge("P1", { found: rest, again: rest, after: [2, 0, 0] }, [[2], [0], [0]], both, stable);
});
