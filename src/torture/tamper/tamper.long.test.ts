/** Each fault is what it says, as a front sees it. Loads and verdicts are not of interest here. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseSpec } from "../../front/spec.ts";
import {
  type Fault,
  type Persistence,
  PROCESS_KINDS,
  type ProcessFault,
  type ProcessKind,
  WIRE_KINDS,
  type WireFault,
  type WireKind,
} from "../plan.ts";
import { isSeizure, type SeizureKind } from "./seizures.ts";
import { tamperedSpec } from "./tamper.ts";
import { BLOCK_BYTES, block, newFolder, type Scene, scene } from "./testing.ts";

const LIMIT = { timeout: 60_000 };
const SPEC = "memory:1M";
const OLD = block(1);
const NEW = block(2);

for (const [kind, found] of [
  ["wrong-tag", /^unknown-tag$/],
  ["short", /^wrong-length$/],
  ["twice", /^(unknown-tag|ring-position)$/],
] as const) {
  test(`${kind} breaks a rule of the link, once, and nothing is lost by that`, LIMIT, async (t) => {
    const { client, faults, struck, status } = await scene(t, SPEC, wire(kind, 2));
    await client.write(0, OLD);
    assert.deepEqual(struck(), { struck: false, timesMs: [] });
    const before = Date.now();
    await client.write(BLOCK_BYTES, NEW);
    await client.flush();
    const [atMs = 0] = struck().timesMs;
    assert.ok(atMs >= before && atMs <= Date.now());
    assert.deepEqual(await client.read(0, BLOCK_BYTES), OLD);
    assert.deepEqual(await client.read(BLOCK_BYTES, BLOCK_BYTES), NEW);
    assert.match(Object.keys(faults()).join(), found);
    assert.equal(status().restarts, 1);
  });
}

test("a persistent fault of the link is there again after a restart", LIMIT, async (t) => {
  // Far enough apart that a recovery comes to its end in between.
  const { client, faults } = await scene(t, SPEC, wire("wrong-tag", 20, "persistent"));
  while ((faults()["unknown-tag"] ?? 0) < 2) {
    await client.write(0, NEW);
    await client.flush();
  }
});

/** What each lie makes of two old blocks side by side when the first one is written anew. */
const LIES: readonly (readonly [WireKind, "write" | "read", (first: Uint8Array, second: Uint8Array) => void])[] = [
  ["corrupt", "read", (first) => assert.deepEqual(differing(first, NEW), [BLOCK_BYTES / 2])],
  ["corrupt", "write", (first) => assert.deepEqual(differing(first, NEW), [BLOCK_BYTES / 2])],
  ["misdirected-read", "read", (first) => assert.deepEqual(first, OLD)],
  [
    "misdirected-write",
    "write",
    (first, second) => {
      assert.deepEqual(first, OLD);
      assert.deepEqual(second, NEW);
    },
  ],
  ["lost", "write", (first) => assert.deepEqual(first, OLD)],
  [
    "torn",
    "write",
    (first) => {
      assert.deepEqual(first.subarray(0, BLOCK_BYTES / 2), NEW.subarray(0, BLOCK_BYTES / 2));
      assert.deepEqual(first.subarray(BLOCK_BYTES / 2), OLD.subarray(0, BLOCK_BYTES / 2));
    },
  ],
];

for (const [kind, call, came] of LIES) {
  // Of a lie about writes, two writes come before it; of one about reads, none; corruption strikes both.
  const nth = call === "write" ? 3 : kind === "corrupt" ? 4 : 1;

  test(`a ${call} that is ${kind} comes through to clients who don't have it verified`, LIMIT, async (t) => {
    const { client, struck, status } = await scene(t, SPEC, wire(kind, nth));
    const [first, second] = await writtenAgain(client);
    came(first, second);
    assert.equal(struck().struck, true);
    assert.equal(status().restarts, 0);
    // Once is enough.
    await client.write(0, NEW);
    assert.deepEqual(await client.read(0, BLOCK_BYTES), NEW);
  });

  test(`a ${call} that is ${kind} is found with digests, and right or an error`, LIMIT, async (t) => {
    const { client, struck } = await scene(t, SPEC, wire(kind, nth), { verify: "digests" });
    const read = await writtenAgain(client).catch((error: { code: string }) => assert.equal(error.code, "EIO"));
    if (read !== undefined) assert.deepEqual(read, [NEW, OLD]);
    assert.equal(struck().struck, true);
  });
}

test("a lie that persists is told again", LIMIT, async (t) => {
  const { client } = await scene(t, SPEC, wire("lost", 2, "persistent"));
  for (let number = 0; number < 6; number++) await client.write(number * BLOCK_BYTES, NEW);
  // What is not flushed is read from the shadow.
  await client.flush();
  const blocks = await Promise.all([0, 1, 2, 3, 4, 5].map((number) => client.read(number * BLOCK_BYTES, BLOCK_BYTES)));
  assert.deepEqual(
    blocks.map((read) => read[0]),
    [2, 0, 2, 0, 2, 0],
  );
});

test("what is torn off from several blocks is whole blocks", LIMIT, async (t) => {
  const { client } = await scene(t, SPEC, wire("torn", 1));
  await client.write(0, new Uint8Array(3 * 512).fill(2));
  await client.flush();
  const read = await client.read(0, 3 * 512);
  assert.deepEqual([read[0], read[511], read[512], read[1535]], [2, 2, 0, 0]);
});

test("an answer may come so late that the driver is given up, or just not", LIMIT, async (t) => {
  for (const [nth, isGivenUp] of [
    [4, false],
    [7, true],
  ] as const) {
    const { client, faults, struck } = await scene(t, SPEC, wire("late", nth));
    for (let number = 0; number < nth; number++) await client.write(number * BLOCK_BYTES, NEW);
    assert.equal(struck().struck, true);
    assert.deepEqual(Object.keys(faults()), isGivenUp ? ["deadlock"] : []);
    assert.deepEqual(await client.read((nth - 1) * BLOCK_BYTES, BLOCK_BYTES), NEW);
  }
});

const FOUND: Record<SeizureKind, string> = {
  loop: "endless-loop",
  memory: "memory",
  exit: "exit",
  rejection: "rejection",
};
for (const [kind, found] of Object.entries(FOUND) as [ProcessKind, string][]) {
  test(`${kind} strikes some time into the load, and is found to be ${found}`, LIMIT, async (t) => {
    const policy = { maxResidentBytes: 512 << 20 };
    const { client, struck, faults, liveAfter, status } = await scene(t, SPEC, within(kind, { afterMs: 20 }), {
      policy,
    });
    assert.equal(struck().struck, false);
    await client.write(0, NEW);
    await liveAfter(1);
    assert.deepEqual(faults(), { [found]: 1 });
    assert.equal(struck().struck, true);
    assert.deepEqual(await client.read(0, BLOCK_BYTES), NEW);
    assert.equal(status().restarts, 1);
  });
}

test(
  "strikes in a row hit the next incarnations: as one opens, then as one is first asked for anything",
  LIMIT,
  async (t) => {
    const { client, liveAfter, faults, status } = await scene(t, SPEC, within("exit", { strikes: 3 }));
    await client.write(0, NEW);
    await liveAfter(3);
    assert.deepEqual(await client.read(0, BLOCK_BYTES), NEW);
    assert.equal(status().restarts, 3);
    assert.deepEqual(faults(), { exit: 3 });
  },
);

test(
  "a persistent fault of the process strikes each incarnation, whether it has anything to do or not",
  LIMIT,
  async (t) => {
    const { liveAfter, faults } = await scene(
      t,
      SPEC,
      within("rejection", { persistence: "persistent", afterMs: 500 }),
    );
    await liveAfter(3);
    assert.ok((faults().rejection ?? 0) >= 3);
  },
);

test("options reach the real driver, and what is wrong with them is said", LIMIT, async (t) => {
  await assert.rejects(scene(t, `${SPEC}?colour=blue`, wire("lost", 1)), /colour/);
});

test("what can't be had is undefined, and what comes from outside leaves the spec alone", (t) => {
  const folder = newFolder(t);
  const can = (text: string, fault: Fault): boolean => tamperedSpec(parseSpec(text), { fault }, folder) !== undefined;
  const server = "exec:nbdkit -f -U {socket} memory 1M";
  const remote = "nbd://localhost/disk";
  for (const kind of WIRE_KINDS) {
    assert.deepEqual(
      [can(SPEC, wire(kind, 1)), can(server, wire(kind, 1)), can(remote, wire(kind, 1))],
      [true, true, false],
    );
  }
  for (const kind of PROCESS_KINDS) {
    const isOutside = !isSeizure(kind);
    assert.deepEqual(
      [can(SPEC, within(kind)), can(server, within(kind)), can(remote, within(kind))],
      [true, isOutside, isOutside],
    );
  }
  const spec = parseSpec(server);
  assert.equal(tamperedSpec(spec, { fault: within("kill") }, folder), spec);
});

/** Two blocks, old ones at first; then the first is written, and both are read. */
async function writtenAgain(client: Scene["client"]): Promise<[Uint8Array, Uint8Array]> {
  await client.write(0, OLD);
  await client.write(BLOCK_BYTES, OLD);
  await client.write(0, NEW);
  await client.flush();
  return [await client.read(0, BLOCK_BYTES), await client.read(BLOCK_BYTES, BLOCK_BYTES)];
}

function differing(one: Uint8Array, other: Uint8Array): number[] {
  return [...one.keys()].filter((index) => one[index] !== other[index]);
}

function wire(kind: WireKind, nth: number, persistence: Persistence = "transient"): WireFault {
  return { tier: "wire", kind, persistence, nth };
}

function within(kind: ProcessKind, more: Partial<ProcessFault> = {}): ProcessFault {
  return { tier: "process", kind, persistence: "transient", afterMs: 0, strikes: 1, lastsMs: 0, ...more };
}
