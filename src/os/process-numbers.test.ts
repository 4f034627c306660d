import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { type TestContext, test } from "node:test";
import { NumbersSince } from "./process-numbers.ts";

/** Lower than any limit on numbers. */
const SOON = 1000;

test("who was started since is told from those before", () => {
  const since = new NumbersSince();
  const { pid } = spawnSync("true");
  assert.equal(since.tellNothing, false);
  const isNewer = since.untilNow();
  assert.equal(isNewer(pid), true);
  assert.equal(isNewer(process.pid), false);
  assert.equal(isNewer(pid + SOON), false);
});

test("after the last number the first ones are given again", (t) => {
  const given = kernel(t, { last: 32_000, starts: 50_000 });
  const since = new NumbersSince();
  Object.assign(given, { last: 400, starts: 50_900 });
  assert.equal(since.tellNothing, false);
  const isNewer = since.untilNow();
  assert.deepEqual([31_999, 32_000, 32_001, 32_767, 300, 400, 401].map(isNewer), [
    ...[false, false, true, true],
    ...[true, true, false],
  ]);
});

test("nothing is told when the numbers may have come round, or the kernel doesn't say", (t) => {
  const given = kernel(t, { last: 1000, starts: 50_000 });
  const since = new NumbersSince();
  given.starts = 50_000 + 16_284;
  assert.equal(since.tellNothing, false);
  given.starts++;
  assert.equal(since.tellNothing, true);
  given.starts = 50_000;
  given.last = undefined;
  assert.equal(since.untilNow()(1), true);
  assert.equal(new NumbersSince().tellNothing, true);
});

/** A kernel with 100 tasks, and numbers below 32768. */
function kernel(t: TestContext, given: { last: number | undefined; starts: number }): typeof given {
  const read = t.mock.method(fs, "readFileSync", (path: string) => {
    switch (path) {
      case "/proc/stat":
        return `cpu 1 2 3\nprocesses ${given.starts}\nprocs_running 1\n`;
      case "/proc/loadavg":
        return "0.00 0.01 0.05 1/100 4711\n";
      case "/proc/sys/kernel/pid_max":
        return "32768\n";
      case "/proc/sys/kernel/ns_last_pid":
        if (given.last !== undefined) return `${given.last}\n`;
    }
    throw new Error(`there is no ${path}`);
  });
  syncBuiltinESMExports();
  t.after(() => {
    read.mock.restore();
    syncBuiltinESMExports();
  });
  return given;
}
