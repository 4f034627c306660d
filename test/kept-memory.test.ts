/** Drivers that keep their blocks in memory: it outlives the front, too, where somebody holds it for the next one. */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { NbdClient } from "../src/nbd/index.ts";
import { DISK_BYTES } from "./load.ts";
import { endFront, FRONT_DEATHS, frontOf, killBehind } from "./reconnect-kill.ts";
import { frontStorm } from "./reconnect-storm.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";

const STORM_SECONDS = 2;
const SECTOR_BYTES = 512;

test("every acknowledged write outlives front and driver with home shm, again and again: volatile on kept memory", (context) =>
  inScene(async (scene) => {
    const spec = `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}`;
    const { deaths } = await frontStorm(scene, spec, { home: "shm", seconds: STORM_SECONDS });
    context.diagnostic(JSON.stringify(deaths));
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("what was flushed outlives front and driver with home memory, under a guard: memory", () =>
  inScene(async (scene) => {
    const guard = await serve(scene, `memory:${DISK_BYTES}`, { args: ["--guard"] });
    for (const [index, killed] of FRONT_DEATHS.entries()) {
      const data = new Uint8Array(SECTOR_BYTES).fill(index + 1);
      const client = await NbdClient.connect(guard.uri);
      await client.write(index * SECTOR_BYTES, data);
      await client.flush();
      await client.close();
      await killBehind(guard, killed);
    }
    const client = await NbdClient.connect(guard.uri);
    for (const index of FRONT_DEATHS.keys())
      assert.deepEqual(
        await client.read(index * SECTOR_BYTES, SECTOR_BYTES),
        new Uint8Array(SECTOR_BYTES).fill(index + 1),
      );
    await client.close();
    await guard.stop();
    assert.deepEqual(await scene.leftovers(), []);
  }));

/** Opens, but for the first time after its file `trouble` was there. */
const FICKLE = `
  import { rmSync } from "node:fs";
  export default {
    open({ trouble }) {
      try {
        rmSync(trouble);
      } catch {
        return { size: 4096, read() {} };
      }
      throw new Error("not this time");
    },
  };
`;

test("a front that could not start leaves what drivers keep to the next one", () =>
  inScene(async (scene) => {
    const fickle = scene.write("fickle.mjs", FICKLE);
    const trouble = scene.path("trouble");
    const devices = [
      { name: "memory", spec: "memory:1M" },
      { name: "fickle", driver: fickle, options: { trouble } },
    ];
    const guard = await serve(scene, scene.write("two.yaml", JSON.stringify({ devices })), {
      args: ["--guard"],
      devices: 2,
    });
    const data = new Uint8Array(SECTOR_BYTES).fill(7);
    const before = await NbdClient.connect(guard.uri);
    await before.write(0, data);
    await before.flush();
    await before.close();

    scene.write("trouble", "");
    await endFront(await frontOf(guard));
    const client = await NbdClient.connect(guard.uri);
    assert.equal(existsSync(trouble), false, "a front has failed meanwhile");
    assert.deepEqual(await client.read(0, SECTOR_BYTES), data);
    await client.close();
    await guard.stop();
  }));
