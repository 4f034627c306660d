import { strict as assert } from "node:assert";
import { test } from "node:test";
import { StrikeClock } from "./strike-clock.ts";

function clock(): { strikes: number[]; clock: StrikeClock } {
  const strikes: number[] = [];
  return { strikes, clock: new StrikeClock(() => strikes) };
}

test("in a row each detection is measured from its own strike, also where the next one has struck before it is told", () => {
  const { strikes, clock: one } = clock();
  assert.equal(one.detected(90), undefined);
  strikes.push(100);
  assert.equal(one.detected(130), 30);
  assert.equal(one.detected(140), undefined);
  strikes.push(200, 260);
  assert.equal(one.detected(250), 50);
  assert.equal(one.detected(261), 1);
});

test("what was struck several times before anybody noticed was ill since the first time", () => {
  const { strikes, clock: one } = clock();
  strikes.push(100, 150, 200);
  assert.equal(one.detected(210), 110);
  strikes.push(300);
  assert.equal(one.detected(301), 1);
});
