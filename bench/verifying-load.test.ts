import assert from "node:assert/strict";
import { test } from "node:test";
import { VerifyingLoad } from "./verifying-load.ts";

const BLOCKS = 1024;
const BLOCK_BYTES = 4096;

/** A disk in memory that answers in a later turn, and drops each write that `drops` names by its number. */
function disk(drops: (write: number) => boolean) {
  const bytes = new Uint8Array(BLOCKS * BLOCK_BYTES);
  let writes = 0;
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    async readInto(offset: number, into: Uint8Array): Promise<void> {
      await turn();
      into.set(bytes.subarray(offset, offset + into.length));
    },
    async write(offset: number, data: Uint8Array): Promise<void> {
      await turn();
      if (!drops(writes++)) bytes.set(data, offset);
    },
    flush: turn,
  };
}

async function complete(load: VerifyingLoad, count: number): Promise<void> {
  load.resume();
  while (load.completed < count && load.failures.length === 0) await load.nextCompletion();
}

test("an honest disk passes", async () => {
  const load = new VerifyingLoad(
    disk(() => false),
    1,
  );
  await complete(load, 2000);
  await load.finish();
  assert.deepEqual(load.failures, []);
  assert.ok(load.longestGapMs > 0);
});

test("a load at rest asks for nothing, and goes on with what it knows", async () => {
  const load = new VerifyingLoad(
    disk((write) => write === 5),
    1,
  );
  await complete(load, 20);
  await load.pause();
  const { completed } = load;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(load.completed, completed);
  await complete(load, 40);
  await load.finish();
  assert.match(load.failures[0] ?? "", /^Block \d+ lost version 1/);
});

test("one lost write is found, at the latest when everything is read back", async () => {
  const load = new VerifyingLoad(
    disk((write) => write === 5),
    1,
  );
  await complete(load, 20);
  await load.finish();
  assert.equal(load.failures.length, 1);
  assert.match(load.failures[0] ?? "", /^Block \d+ lost version 1/);
});

test("an error ends the load and is told", async () => {
  const failing = { ...disk(() => false), flush: () => Promise.reject(new Error("EIO")) };
  const load = new VerifyingLoad(failing, 1);
  await complete(load, 1000);
  await load.finish();
  assert.deepEqual(load.failures, ["EIO"]);
});
