/** The load of the demo: what it says of a disk has to be believed. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Load } from "../src/cli/load.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";
import { until } from "./until.ts";

/** Few enough to have all been written before the kill, and to be held until then without an own flush. */
const BLOCKS = 256;
const WRITTEN_IOS = 2000;
const IOS_TIMEOUT_MS = 20_000;

for (const [shadow, flags] of [
  ["on", []],
  ["off", ["--no-shadow"]],
] as const) {
  const claim = shadow === "on" ? "finds nothing lost" : "finds what is lost";
  test(`the demo's load ${claim} when a driver dies with the shadow ${shadow}`, () =>
    inScene(async (scene) => {
      const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=8M`, { args: flags });
      const never = Number.POSITIVE_INFINITY;
      const load = await Load.connect({ uri: front.uri, blocks: BLOCKS, queueDepth: 16, writesPerFlush: never });
      const running = load.run();
      await until("the blocks to be written", IOS_TIMEOUT_MS, () => load.result.ios > WRITTEN_IOS || undefined);
      await front.killDriver();
      load.stop();
      await running;
      await load.verify();
      await load.close();
      assert.equal(load.result.errors, 0, load.result.firstError);
      assert.equal(load.result.lost > 0, shadow === "off", `${load.result.lost} writes were lost`);
      await front.stop();
    }));
}
