/** The relay in front of a foreign server: each fault is what it says, and the server goes with it. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isRunning, type ProcessId, processId } from "../../os/process-id.ts";
import type { Persistence, WireFault, WireKind } from "../plan.ts";
import { BLOCK_BYTES, block, type Scene, scene } from "./testing.ts";

const LIMIT = { timeout: 60_000 };
const SPEC = "exec:nbdkit -f -U {socket} memory 1M";
/** A server whose contents outlive it. */
const LASTING = "exec:truncate -s 1M disk && exec nbdkit -f -U {socket} file disk";
const OLD = block(1);
const NEW = block(2);

for (const [kind, found] of [
  ["wrong-tag", "protocol"],
  ["short", "disconnected"],
  ["twice", "protocol"],
] as const) {
  test(`${kind} breaks a rule of the protocol, once, and nothing is lost by that`, LIMIT, async (t) => {
    const { client, faults, struck, status } = await scene(t, LASTING, wire(kind, 2));
    await client.write(0, OLD);
    await client.write(BLOCK_BYTES, NEW);
    await client.flush();
    assert.equal(struck().struck, true);
    assert.deepEqual(await client.read(0, BLOCK_BYTES), OLD);
    assert.deepEqual(await client.read(BLOCK_BYTES, BLOCK_BYTES), NEW);
    assert.deepEqual(faults(), { [found]: 1 });
    assert.equal(status().restarts, 1);
  });
}

for (const [kind, nth, came] of [
  ["corrupt", 4, [NEW.with(BLOCK_BYTES / 2, 3), OLD]],
  ["corrupt", 3, [NEW.with(BLOCK_BYTES / 2, 3), OLD]],
  ["misdirected-read", 1, [OLD, OLD]],
  ["misdirected-write", 3, [OLD, NEW]],
  ["lost", 3, [OLD, OLD]],
  ["torn", 3, [Uint8Array.from(NEW).fill(1, BLOCK_BYTES / 2), OLD]],
] as const) {
  test(
    `${kind} comes through, as request ${nth} of its sort, to clients who don't have it verified`,
    LIMIT,
    async (t) => {
      const { client, struck, status } = await scene(t, SPEC, wire(kind, nth));
      assert.deepEqual(await writtenAgain(client), came);
      assert.equal(struck().struck, true);
      assert.equal(status().restarts, 0);
      // Once is enough.
      await client.write(0, NEW);
      await client.flush();
      assert.deepEqual(await client.read(0, BLOCK_BYTES), NEW);
    },
  );

  test(`${kind} is found with digests, as request ${nth} of its sort, and right or an error`, LIMIT, async (t) => {
    const { client, struck } = await scene(t, LASTING, wire(kind, nth), { verify: "digests" });
    const read = await writtenAgain(client).catch((error: { code: string }) => assert.equal(error.code, "EIO"));
    if (read !== undefined) assert.deepEqual(read, [NEW, OLD]);
    assert.equal(struck().struck, true);
  });
}

test("an answer may come so late that the server is given up, or just not", LIMIT, async (t) => {
  for (const [nth, isGivenUp] of [
    [4, false],
    [7, true],
  ] as const) {
    const { client, faults, struck } = await scene(t, LASTING, wire("late", nth));
    for (let number = 0; number < nth; number++) await client.write(number * BLOCK_BYTES, NEW);
    assert.equal(struck().struck, true);
    assert.deepEqual(Object.keys(faults()), isGivenUp ? ["deadlock"] : []);
    assert.deepEqual(await client.read((nth - 1) * BLOCK_BYTES, BLOCK_BYTES), NEW);
  }
});

test("a persistent fault is there again with the next server", LIMIT, async (t) => {
  // Far enough apart that a recovery comes to its end in between.
  const { client, faults } = await scene(t, LASTING, wire("twice", 20, "persistent"));
  while ((faults().protocol ?? 0) < 2) {
    await client.write(0, NEW);
    await client.flush();
  }
});

test("what is not struck passes: zeroes, trims, FUA, large requests, many at once", LIMIT, async (t) => {
  const { client } = await scene(t, SPEC, wire("lost", 1000));
  assert.ok(client.canFua && client.canTrim && client.canZero);
  const size = client.size;
  await Promise.all(
    Array.from({ length: 64 }, (_, number) =>
      client.write(number * BLOCK_BYTES, block(number), { fua: number % 2 === 0 }),
    ),
  );
  const read = await client.read(0, size);
  for (let number = 0; number < 64; number++) assert.equal(read[number * BLOCK_BYTES + 1], number);
  await client.zero(0, BLOCK_BYTES);
  await client.trim(BLOCK_BYTES, BLOCK_BYTES);
  await client.write(size / 2, new Uint8Array(size / 2).fill(9));
  await client.flush();
  const after = await client.read(0, size);
  assert.deepEqual([after[0], after[2 * BLOCK_BYTES], after[size / 2], after[size - 1]], [0, 2, 9, 9]);
});

test("a server that dies is an end of the relay, and one that is killed takes its server along", LIMIT, async (t) => {
  // It says who it is, in a file in its folder.
  const command = `exec:truncate -s 1M disk && echo $$ >> pids && exec nbdkit -f -U {socket} file disk`;
  const { client, folder, liveAfter, faults, status } = await scene(t, command, wire("lost", 1000));
  const servers = (): ProcessId[] => pidsIn(join(folder, "pids"));
  await client.write(0, NEW);
  const [first] = servers();
  process.kill(first?.pid ?? 0, "SIGKILL");
  await liveAfter(1);
  assert.deepEqual(faults(), { killed: 1 });
  const second = servers()[1] as ProcessId;
  process.kill(status().driver.pid ?? 0, "SIGKILL");
  await liveAfter(2);
  assert.equal(isRunning(second), false);
  assert.deepEqual(await client.read(0, BLOCK_BYTES), NEW);
});

/** Those that still run, each on a line; a place is left for the others. */
function pidsIn(path: string): ProcessId[] {
  const pids = readFileSync(path, "utf8").trim().split("\n").map(Number);
  return pids.map((pid) => processId(pid) ?? { pid, started: 0 });
}

/** Two blocks, old ones at first; then the first is written, and both are read. */
async function writtenAgain(client: Scene["client"]): Promise<[Uint8Array, Uint8Array]> {
  await client.write(0, OLD);
  await client.write(BLOCK_BYTES, OLD);
  await client.write(0, NEW);
  await client.flush();
  return [await client.read(0, BLOCK_BYTES), await client.read(BLOCK_BYTES, BLOCK_BYTES)];
}

function wire(kind: WireKind, nth: number, persistence: Persistence = "transient"): WireFault {
  return { tier: "wire", kind, persistence, nth };
}
