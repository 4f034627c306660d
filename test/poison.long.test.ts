/** P8: a request that kills every incarnation is found and fails alone, with EIO; all others succeed. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SkinkError } from "../src/block/errors.ts";
import { SeededRandom } from "../src/block/random.ts";
import { askFront } from "../src/front/control-client.ts";
import type { NbdClient } from "../src/nbd/index.ts";
import { clientOf } from "./foreign.ts";
import { nextEvent } from "./front-events.ts";
import { DISK_BYTES, GENTLE, Load } from "./load.ts";
import { inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { SickDisk, signal } from "./sick-disk.ts";
import { withSeed } from "./storm.ts";
import { until } from "./until.ts";

const DEPTH = 128;
const BLOCK_BYTES = 4096;
const MAX_RESTARTS_EACH = 5;
const STATE_TIMEOUT_MS = 20_000;
/** The two that may kill, among DEPTH of them. */
const POISON = 37;
const ANOTHER_POISON = 90;
/** From when an incarnation is seen: as likely while it opens, while suspects are tried, or while it is live. */
const MAX_LIFE_MS = 250;

type Kind = "read" | "write" | "flush";

/** Deadlines double for each incarnation that misses one: they begin short enough that five of them fit into a test. */
const POLICY = "{ deadlockFloorMs: 100, stuckFloorMs: 300, heartbeatTimeoutMs: 150 }";

test("of 128 requests those that kill get EIO, the others succeed, at no more than 5 restarts each", async (context) => {
  await inScene(async (scene) => {
    const { disk, front, client } = await serveSick(scene);
    for (const [kind, how, ...poison] of [
      ["write", "exit", POISON],
      ["write", "kill", POISON],
      ["write", "throw", POISON],
      ["write", "loop", POISON],
      ["write", "never", POISON],
      ["read", "abort", POISON],
      ["flush", "exit", POISON],
      ["write", "exit", POISON, ANOTHER_POISON],
    ] as const) {
      await context.test(`${poison.length} of kind ${kind}, by ${how}`, async () => {
        const orders = poison.map((index) => (kind === "flush" ? "flush" : `${kind}@${index * BLOCK_BYTES}`));
        await orderAndRestart(front, disk, ...orders.map((when) => `${when} ${how}`));
        const before = await front.device();
        const outcomes = await ask(client, (index) => (poison.some((each) => each === index) ? kind : undefined));
        assert.deepEqual(
          failedOf(outcomes),
          poison.map((index) => `${index}: EIO`),
        );
        const { restarts, counters } = await front.device();
        const spent = restarts - before.restarts;
        assert.ok(spent > 0 && spent <= MAX_RESTARTS_EACH * poison.length, `${spent} restarts were spent`);
        assert.equal(counters.convictions - before.counters.convictions, poison.length);
        await orderAndRestart(front, disk);
        await checkWritten(client, outcomes);
      });
    }
    await front.stop();
  });
});

test("an acknowledged write whose replay kills stays readable, and is written when the cause is gone", () =>
  inScene(async (scene) => {
    const { disk, front, client } = await serveSick(scene);
    const data = new Uint8Array(BLOCK_BYTES).fill(9);
    for (const block of [0, 1]) await client.write(block * BLOCK_BYTES, data);
    disk.order("write@0 exit");
    await signal(front, disk.name, "SIGKILL");
    const degraded = await front.until("degraded");
    assert.match(degraded.reason ?? "", /acknowledged/);
    assert.ok(degraded.restarts <= 1 + MAX_RESTARTS_EACH, `${degraded.restarts} restarts were spent`);
    const { operation, offset, length, acknowledged } = await nextEvent(front, "convicted", { after: 0 });
    assert.deepEqual([operation, offset, length, acknowledged], ["write", 0, BLOCK_BYTES, true]);
    for (const block of [0, 1]) assert.deepEqual(await client.read(block * BLOCK_BYTES, BLOCK_BYTES), data);
    await client.write(5 * BLOCK_BYTES, data);
    await assert.rejects(client.flush(), { code: "EIO" });
    assert.equal((await front.device()).state, "degraded");

    await orderAndRestart(front, disk);
    assert.equal((await front.device()).state, "live");
    await client.flush();
    await front.killDriver();
    for (const block of [0, 1, 5]) assert.deepEqual(await client.read(block * BLOCK_BYTES, BLOCK_BYTES), data);
    await front.stop();
  }));

test("nobody is convicted of what an external SIGKILL does", async (context) => {
  await inScene(async (scene) => {
    const { disk, front } = await serveSick(scene);
    const load = await Load.start(scene, front.uri, 3, GENTLE);
    for (const [what, kills, orders] of [
      ["fast", 5, []],
      ["slow", 15, ["read late", "write late", "flush late"]],
    ] as const) {
      await context.test(`where requests are ${what}`, async () => {
        await orderAndRestart(front, disk, ...orders);
        await withSeed("a storm of kills", (seed) =>
          killAtAnyTime(front, kills, new SeededRandom(seed), () => load.hasFailed),
        );
      });
    }
    await load.stop();
    await load.readAll();
    await load.close();
    const { counters } = await front.device();
    assert.deepEqual([counters.errors, counters.convictions], [0, 0]);
    await front.stop();
  });
});

async function serveSick(scene: Scene): Promise<{ disk: SickDisk; front: Front; client: NbdClient }> {
  const disk = new SickDisk(scene, "disk", `size=${DISK_BYTES}`);
  const config = [
    "devices:",
    `  - name: ${disk.name}`,
    `    spec: ${JSON.stringify(disk.spec)}`,
    `    policy: ${POLICY}`,
  ];
  const front = await serve(scene, scene.write("skink.yaml", `${config.join("\n")}\n`));
  return { disk, front, client: await clientOf(scene, front) };
}

/** The restart is the operator's: the driver opens under these orders, and nothing is held against anybody any more. */
async function orderAndRestart(front: Front, disk: SickDisk, ...orders: string[]): Promise<void> {
  disk.order(...orders);
  // All may have been answered before the recovery is over.
  await until("the end of the recovery", STATE_TIMEOUT_MS, async () => {
    try {
      await askFront(front.control, { command: "restart", name: disk.name });
      return true;
    } catch (error) {
      if ((error as SkinkError).code === "wrong-state") return undefined;
      throw error;
    }
  });
}

async function killAtAnyTime(front: Front, kills: number, random: SeededRandom, isOver: () => boolean): Promise<void> {
  let killed: number | undefined;
  for (let count = 0; count < kills && !isOver(); count++) {
    // Where incarnations in a row come to nothing, the delay before the next one doubles.
    if (count % 3 === 2) await front.until("live");
    const pid = await until("the next incarnation", STATE_TIMEOUT_MS, async () => {
      const { driver } = await front.device();
      return driver.pid === null || driver.pid === killed ? undefined : driver.pid;
    });
    await sleep(random.below(MAX_LIFE_MS));
    process.kill(pid, "SIGKILL");
    killed = pid;
  }
}

interface Outcome {
  readonly index: number;
  /** What was written; `undefined` where that isn't what was asked. */
  readonly written: Uint8Array | undefined;
  /** "": it succeeded. */
  readonly code: string;
}

/** Asks DEPTH things at once, each of a block of its own; `poisonOf`: what those are asked that kill. */
async function ask(client: NbdClient, poisonOf: (index: number) => Kind | undefined): Promise<Outcome[]> {
  const asked = Array.from({ length: DEPTH }, async (_, index): Promise<Outcome> => {
    const kind = poisonOf(index) ?? (index % 4 === 0 ? "read" : "write");
    const offset = index * BLOCK_BYTES;
    const data = kind === "write" ? new Uint8Array(BLOCK_BYTES).fill(index + 1) : undefined;
    try {
      if (data !== undefined) await client.write(offset, data);
      else if (kind === "read") await client.read(offset, BLOCK_BYTES);
      else await client.flush();
      return { index, written: data, code: "" };
    } catch (error) {
      return { index, written: undefined, code: (error as NodeJS.ErrnoException).code ?? String(error) };
    }
  });
  return await Promise.all(asked);
}

function failedOf(outcomes: readonly Outcome[]): string[] {
  return outcomes.filter(({ code }) => code !== "").map(({ index, code }) => `${index}: ${code}`);
}

async function checkWritten(client: NbdClient, outcomes: readonly Outcome[]): Promise<void> {
  for (const { index, written } of outcomes) {
    if (written !== undefined) assert.deepEqual(await client.read(index * BLOCK_BYTES, BLOCK_BYTES), written);
  }
}
