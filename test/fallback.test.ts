/** Where restarts don't help: another driver for the same store, or what the policy says instead. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { askFront } from "../src/front/control-client.ts";
import type { NbdClient } from "../src/nbd/index.ts";
import type { DeviceState } from "../src/supervisor/supervisor.ts";
import { clientOf, newDisk } from "./foreign.ts";
import { newest, nextEvent } from "./front-events.ts";
import { GENTLE, Load } from "./load.ts";
import { inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { SickDisk, signal } from "./sick-disk.ts";

const BLOCK_BYTES = 4096;
const BLOCK = new Uint8Array(BLOCK_BYTES).fill(7);
const NAME = "disk";

test("a driver over its budget of restarts makes way for the fallback, until the operator wants it back", () =>
  inScene(async (scene) => {
    const { front } = await serveSick(scene, { policy: "{ restartBudget: 2 }", hasFallback: true });
    const load = await Load.start(scene, front.uri, 5, GENTLE);
    const after = await newest(front);
    await killUntil(front, after, "fallback", 3);
    const { reason } = await nextEvent(front, "fallback", { after });
    assert.match(reason, /more than 2 restarts within 60000 ms/);
    const device = await front.until("live");
    assert.equal(device.driver.kind, "file");

    await askFront(front.control, { command: "restart", name: NAME });
    assert.equal((await front.device()).driver.kind, "sick-driver.ts");
    await front.killDriver();
    await load.stop();
    await load.readAll();
    await load.close();
    assert.equal((await front.device()).counters.errors, 0);
    await front.stop();
  }));

test("a request that kills one driver is answered by the other, where the policy says so", () =>
  inScene(async (scene) => {
    const { front, disk, client } = await serveSick(scene, { policy: "{ poison: fallback }", hasFallback: true });
    for (let block = 0; block < 8; block++) await client.write(block * BLOCK_BYTES, BLOCK);
    disk.order(`write@${4 * BLOCK_BYTES} exit`);
    await askFront(front.control, { command: "restart", name: NAME });
    const after = await newest(front);
    await client.write(
      4 * BLOCK_BYTES,
      BLOCK.map((byte) => byte + 1),
    );
    assert.match((await nextEvent(front, "fallback", { after })).reason, /a write of 4096 bytes at 16384 kills it/);
    const { driver, counters } = await front.until("live");
    assert.deepEqual([driver.kind, counters.errors, counters.convictions], ["file", 0, 0]);
    await client.flush();

    disk.order();
    await askFront(front.control, { command: "restart", name: NAME });
    for (let block = 0; block < 8; block++) {
      const found = await client.read(block * BLOCK_BYTES, BLOCK_BYTES);
      assert.deepEqual(
        found,
        BLOCK.map((byte) => byte + (block === 4 ? 1 : 0)),
      );
    }
    await front.stop();
  }));

for (const [exhausted, state] of [
  ["held", "held"],
  ["failed", "failed"],
] as const) {
  test(`with nothing left to try a device that is to be ${exhausted} answers EIO, and has lost nothing`, () =>
    inScene(async (scene) => {
      const policy = `{ restartBudget: 1, exhausted: ${exhausted}, maxRestartDelayMs: 60000 }`;
      const { front, client } = await exhaust(scene, policy, state);
      await assert.rejects(client.read(0, BLOCK_BYTES), { code: "EIO" });
      await assert.rejects(client.write(0, BLOCK), { code: "EIO" });
      await assert.rejects(client.flush(), { code: "EIO" });
      await recover(front, client);
    }));
}

test("with nothing left to try a device that is to be read-only is read, and written again when it is restarted", () =>
  inScene(async (scene) => {
    const { front, client } = await exhaust(scene, "{ restartBudget: 1, exhausted: read-only }", "read-only");
    assert.deepEqual(await client.read(0, BLOCK_BYTES), BLOCK);
    await assert.rejects(client.write(BLOCK_BYTES, BLOCK), { code: "EPERM" });
    // What was acknowledged is not durable.
    await assert.rejects(client.flush(), { code: "EIO" });
    const { state, reason } = await front.device();
    assert.equal(state, "degraded");
    assert.match(reason ?? "", /read-only: more than 1 restarts/);
    await recover(front, client);
  }));

/** Writes a block, and has the driver killed until its device is in that state. */
async function exhaust(scene: Scene, policy: string, state: DeviceState | "read-only") {
  const { front, client } = await serveSick(scene, { policy, hasFallback: false });
  await client.write(0, BLOCK);
  const after = await newest(front);
  await killUntil(front, after, state as "held" | "failed" | "read-only", 2);
  return { front, client };
}

/** SIGKILLs its driver so often; that is to lead to such an event. */
async function killUntil(
  front: Front,
  after: number,
  type: "fallback" | "held" | "failed" | "read-only",
  kills: number,
): Promise<void> {
  for (let count = 0; count < kills; count++) {
    const { epoch } = await front.until("live");
    await signal(front, NAME, "SIGKILL");
    if (count < kills - 1) await front.until("live", epoch);
  }
  await nextEvent(front, type, { after });
}

async function recover(front: Front, client: NbdClient): Promise<void> {
  await askFront(front.control, { command: "restart", name: NAME });
  assert.equal((await front.device()).state, "live");
  assert.deepEqual(await client.read(0, BLOCK_BYTES), BLOCK);
  await client.write(BLOCK_BYTES, BLOCK);
  await client.flush();
  await front.stop();
}

async function serveSick(
  scene: Scene,
  { policy, hasFallback }: { readonly policy: string; readonly hasFallback: boolean },
): Promise<{ front: Front; disk: SickDisk; client: NbdClient }> {
  const file = newDisk(scene);
  const disk = new SickDisk(scene, NAME, `path=${file}`);
  const lines = [`  - name: ${NAME}`, `    spec: ${JSON.stringify(disk.spec)}`, `    policy: ${policy}`];
  if (hasFallback) lines.push(`    fallback: file:${file}`);
  const front = await serve(scene, scene.write("skink.yaml", ["devices:", ...lines, ""].join("\n")));
  return { front, disk, client: await clientOf(scene, front) };
}
