import { readFileSync, rmSync } from "node:fs";
import { test } from "node:test";
import { SeededRandom } from "../src/block/random.ts";
import { DISK_BYTES, Load } from "./load.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";
import { kill, storm, withSeed } from "./storm.ts";
import { until } from "./until.ts";

const GONE_TIMEOUT_MS = 10_000;
const POWER_CUTS = 2;
const KILLS_BEFORE_POWER_CUT = 3;

test("a storm of kills loses nothing of a memory disk", () =>
  inScene(async (scene) => {
    await storm(scene, `memory:${DISK_BYTES}`);
  }));

test("a storm of kills loses nothing of a file, which holds everything after the stop", () =>
  inScene(async (scene) => {
    const file = scene.path("disk.img");
    const load = await storm(scene, `file:${file}?size=${DISK_BYTES}`);
    load.checkBytes(readFileSync(file));
  }));

test("a storm of kills loses nothing of a volatile disk, and the stop makes durable what it held back", () =>
  inScene(async (scene) => {
    const file = scene.path("disk.img");
    const load = await storm(scene, `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}&path=${file}`);
    load.checkBytes(readFileSync(file));
  }));

test("what was flushed is on the medium when front and driver are killed together", () =>
  inScene(async (scene) => {
    // A front that is killed can't remove its sockets; the next one replaces them.
    scene.defer(() => {
      for (const name of ["control", "nbd"]) rmSync(scene.path(name), { force: true });
    });
    for (let round = 0; round < POWER_CUTS; round++) {
      await withSeed("a power cut", async (seed) => {
        const file = scene.path(`disk-${round}.img`);
        const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}&path=${file}`);
        const load = await Load.start(scene, front.uri, seed);
        await kill(front, new SeededRandom(seed + 1), { kills: KILLS_BEFORE_POWER_CUT, isOver: () => load.hasFailed });
        await front.end("SIGKILL");
        await load.stopWithoutServer();
        await until("the driver to go", GONE_TIMEOUT_MS, async () =>
          (await scene.leftovers(0)).some((line) => line.startsWith("process")) ? undefined : true,
        );
        load.checkMedium(readFileSync(file));
      });
    }
  }));
