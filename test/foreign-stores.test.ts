/** A store that dies with its server is told from one that doesn't, and never passes for a disk of zeroes. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { NbdClient } from "../src/nbd/index.ts";
import { clientOf } from "./foreign.ts";
import { peer } from "./peers.ts";
import { inScene } from "./scene.ts";
import { serve } from "./serve.ts";

const MEMORY = "exec:nbdkit -f -U {socket} memory 64M";
const MISMATCH = /the driver came back with another store: the block at \d+, durable before, has other contents/;

const needsNbdkit = { skip: peer("nbdkit") };

for (const [what, make] of [
  ["flushed", (client: NbdClient) => client.write(65536, filled(1)).then(() => client.flush())],
  ["written with FUA", (client: NbdClient) => client.write(65536, filled(1), { fua: true })],
] as const) {
  test(`a memory disk that dies with what was ${what} fails, and says why`, needsNbdkit, () =>
    inScene(async (scene) => {
      const front = await serve(scene, MEMORY);
      const client = await clientOf(scene, front);
      await make(client);
      process.kill((await front.device()).driver.pid as number, "SIGKILL");
      const { reason } = await front.until("failed");
      assert.match(reason ?? "", MISMATCH);
      await refusesAll(client);

      // The store is lost for good, so another try comes to the same.
      const { code, stderr } = await scene.skink("restart", front.name, "--control", front.control);
      assert.equal(code, 1);
      assert.match(stderr, /^Cannot restart nbdkit: the driver came back with another store: [^\n]*\n$/);
      assert.match((await front.until("failed")).reason ?? "", MISMATCH);
      await refusesAll(client);
      await client.close();
      await front.stop();
    }),
  );
}

test("a memory disk that dies with what was only acknowledged is made whole", needsNbdkit, () =>
  inScene(async (scene) => {
    const front = await serve(scene, MEMORY);
    const client = await clientOf(scene, front);
    for (let at = 0; at < 8; at++) await client.write(at * 65536, filled(at + 1));
    const { restarts, counters } = await front.killDriver();
    assert.equal(restarts, 1);
    assert.ok(counters.replayedPieces > 0);
    for (let at = 0; at < 8; at++) assert.deepEqual(await client.read(at * 65536, 4096), filled(at + 1));
    assert.deepEqual(await client.read(1 << 20, 4096), filled(0));
    await client.close();
    await front.stop();
  }),
);

test("a store that comes back after it was lost is served again after a restart", needsNbdkit, () =>
  inScene(async (scene) => {
    const disk = scene.write("disk.img", new Uint8Array(1 << 20));
    const other = scene.write("other.img", new Uint8Array(1 << 20));
    const link = scene.path("link.img");
    await scene.need("ln", ["-sf", disk, link]);
    const front = await serve(scene, `exec:nbdkit -f -U {socket} file ${link}`);
    const client = await clientOf(scene, front);
    await client.write(0, filled(1));
    await client.flush();
    await client.write(4096, filled(2));
    await scene.need("ln", ["-sf", other, link]);
    process.kill((await front.device()).driver.pid as number, "SIGKILL");
    assert.match((await front.until("failed")).reason ?? "", MISMATCH);
    await scene.need("ln", ["-sf", disk, link]);
    const { code, stderr } = await scene.skink("restart", front.name, "--control", front.control);
    assert.equal(code, 0, stderr);
    assert.deepEqual([await client.read(0, 4096), await client.read(4096, 4096)], [filled(1), filled(2)]);
    await client.close();
    await front.stop();
  }),
);

async function refusesAll(client: NbdClient): Promise<void> {
  const refused = { code: "EIO" };
  await assert.rejects(client.read(65536, 4096), refused);
  await assert.rejects(client.read(1 << 20, 4096), refused);
  await assert.rejects(client.write(0, filled(2)), refused);
  await assert.rejects(client.flush(), refused);
}

function filled(byte: number): Uint8Array {
  return new Uint8Array(4096).fill(byte);
}
