import assert from "node:assert/strict";
import { test } from "node:test";
import { Bench, SECTOR } from "./testing.ts";

test("P6: a single writer that finds no room has an own flush made at once, however little of the memory is taken", () => {
  const bench = new Bench({ writeBytes: 4 * SECTOR, limits: { flushShare: 0.9 } });
  bench.done("write", 0);
  const large = bench.request("write", 8, 4);
  assert.equal(bench.device.admit(large), "wait");
  let called = 0;
  bench.device.whenRoom(large, () => called++);
  assert.deepEqual(bench.link.summary, ["flush"]);
  bench.link.complete("flush");
  bench.clock.advance(0);
  assert.equal(called, 1);
  assert.equal(bench.device.admit(large), "admitted");
});
