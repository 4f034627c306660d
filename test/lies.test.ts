/** With `verify: digests` a driver that lies is found out at the read, and no client ever gets wrong data. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { clientOf } from "./foreign.ts";
import { newest, nextEvent } from "./front-events.ts";
import { inScene } from "./scene.ts";
import { serve } from "./serve.ts";
import { SickDisk } from "./sick-disk.ts";

const BLOCK_BYTES = 4096;
const DISK_BLOCKS = 256;
const NAME = "disk";

test("lies of every kind are found at the read, and cured, or answered with EIO", async (context) => {
  await inScene(async (scene) => {
    const disk = new SickDisk(scene, NAME, `size=${DISK_BLOCKS * BLOCK_BYTES}`);
    const lines = [
      "devices:",
      `  - name: ${NAME}`,
      `    spec: ${JSON.stringify(disk.spec)}`,
      "    verify: digests",
      "",
    ];
    const front = await serve(scene, scene.write("skink.yaml", lines.join("\n")));
    const client = await clientOf(scene, front);
    let block = 0;
    let version = 0;

    /** Writes the block under test and its neighbour, under an order if there is one. Returns what was written. */
    const write = async (...orders: string[]): Promise<Uint8Array> => {
      const data = new Uint8Array(BLOCK_BYTES).fill(++version);
      await client.write((block + 1) * BLOCK_BYTES, data);
      if (orders.length > 0) await disk.orderOnce(front, ...orders);
      await client.write(block * BLOCK_BYTES, data);
      return data;
    };
    const read = (at: number): Promise<Uint8Array> => client.read(at * BLOCK_BYTES, BLOCK_BYTES);

    for (const lie of ["corrupt", "misdirected"]) {
      await context.test(`one read that is ${lie} is read again`, async () => {
        block += 2;
        const data = await write();
        await client.flush();
        const after = await newest(front);
        const { epoch, counters } = await front.device();
        await disk.orderOnce(front, `read@${block * BLOCK_BYTES} ${lie}`);
        assert.deepEqual(await read(block), data);
        const event = await nextEvent(front, "lie", { after });
        assert.deepEqual([event.offset, event.length, event.cure], [block * BLOCK_BYTES, lengthOf(lie), "read again"]);
        const now = await front.device();
        assert.deepEqual([now.epoch, now.counters.curedLies - counters.curedLies], [epoch, 1]);
      });
    }

    for (const lie of ["lost", "torn", "misdirected"]) {
      await context.test(`a write that is ${lie} is repaired while the shadow holds it`, async () => {
        block += 2;
        const data = await write(`write@${block * BLOCK_BYTES} ${lie}`);
        const after = await newest(front);
        assert.deepEqual(await read(block), data);
        assert.equal((await nextEvent(front, "lie", { after })).cure, "repair");
        await client.flush();
        // Now it is the driver that has it.
        await front.killDriver();
        assert.deepEqual(await read(block), data);
      });

      await context.test(
        `of a write that is ${lie} a read gets EIO when it was flushed, until the next write`,
        async () => {
          block += 2;
          await write();
          const data = await write(`write@${block * BLOCK_BYTES} ${lie}`);
          await client.flush();
          await assert.rejects(read(block), { code: "EIO" });
          assert.deepEqual(await read(block + 1), data);
          await front.until("live");
          const newData = await write();
          assert.deepEqual(await read(block), newData);
        },
      );
    }

    assert.equal((await front.device()).state, "live");
    await front.stop();
  });
});

/** What is wrong of a block: one of its sectors, or all of it. */
function lengthOf(lie: string): number {
  return lie === "corrupt" ? 512 : BLOCK_BYTES;
}
