import { strict as assert } from "node:assert";
import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Killer } from "./killer.ts";
import { peer } from "./peers.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";

const IMAGE_BYTES = 48 << 20;
/** Where the image is a hole: zeroes have to arrive as well, over what was there before. */
const HOLE = { start: 16 << 20, end: 20 << 20 };
const WANTED_KILLS = 20;
/** Each life is longer than the one before: a disk that never lives long enough for a flush of the image can't ever finish one. */
const killAfterLiveMs = (kills: number): number => 100 + 10 * kills;

test("nbdcopy brings an image in and out unchanged while drivers are killed", { skip: peer("nbdcopy") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=${IMAGE_BYTES}`);
    const image = Buffer.alloc(IMAGE_BYTES);
    const killer = new Killer(front, killAfterLiveMs);
    do {
      randomFillSync(image);
      image.fill(0, HOLE.start, HOLE.end);
      const from = scene.write("in.img", image);
      await scene.need("nbdcopy", ["--flush", from, front.uri]);
      await scene.need("nbdcopy", [front.uri, scene.path("out.img")]);
      assert.ok(image.equals(readFileSync(scene.path("out.img"))), "the copy differs from the image");
    } while (killer.kills < WANTED_KILLS);
    await killer.stop();

    assert.equal((await front.device()).counters.errors, 0);
    await front.stop();
  }),
);

test("nbdcopy with several connections copies in, from device to device, and out", { skip: peer("nbdcopy") }, () =>
  inScene(async (scene) => {
    const yaml = `devices:\n  - { name: one, spec: memory:${IMAGE_BYTES} }\n  - { name: two, spec: "file:${scene.path("two.img")}?size=${IMAGE_BYTES}" }\n`;
    const front = await serve(scene, scene.write("two.yaml", yaml), { devices: 2 });
    const [one, two] = front.ready.map(({ uri }) => uri);
    assert.ok(one !== undefined && two !== undefined);
    const image = randomFillSync(Buffer.alloc(IMAGE_BYTES));
    image.fill(0, HOLE.start, HOLE.end);
    const from = scene.write("in.img", image);
    const several = ["--connections=4", "--requests=32", "--flush"];
    await scene.need("nbdcopy", [...several, from, one]);
    await scene.need("nbdcopy", [...several, one, two]);
    await scene.need("nbdcopy", [...several, "--request-size=1048576", two, scene.path("out.img")]);
    assert.ok(image.equals(readFileSync(scene.path("out.img"))), "the copy differs from the image");
    await front.stop();
    assert.ok(image.equals(readFileSync(scene.path("two.img"))), "the file differs from the image");
  }),
);
