import { strict as assert } from "node:assert";
import { test } from "node:test";
import { onInterruption } from "./interruption.ts";

test("an interruption that comes twice at once, or almost, is one; another one ends the process", async (t) => {
  let now = 1000;
  t.mock.method(performance, "now", () => now);
  const exit = t.mock.method(process, "exit", () => {});
  const count = (): number => process.listenerCount("SIGINT");
  const before = count();
  await onInterruption(async (signal) => {
    assert.equal(signal.aborted, false);
    process.emit("SIGINT");
    assert.equal(signal.aborted, true);
    now += 100;
    process.emit("SIGINT");
    process.emit("SIGTERM");
    assert.equal(exit.mock.callCount(), 0);
    now += 1000;
    process.emit("SIGINT");
    assert.deepEqual(
      exit.mock.calls.map(({ arguments: given }) => given),
      [[1]],
    );
  });
  assert.equal(count(), before);
});
