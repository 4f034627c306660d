/** The load of the demo: what it says of a disk has to be believed. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { VerifyingLoad } from "../src/load/load.ts";
import { blocks } from "../src/load/patterns.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";
import { within } from "./until.ts";

/** Little enough to have all been written before the kill, and to be held until then without an own flush. */
const BYTES = 1 << 20;
const WRITTEN = 2000;
const WRITTEN_TIMEOUT_MS = 20_000;

for (const [shadow, flags] of [
  ["on", []],
  ["off", ["--no-shadow"]],
] as const) {
  const claim = shadow === "on" ? "finds nothing lost" : "finds what is lost";
  test(`the demo's load ${claim} when a driver dies with the shadow ${shadow}`, () =>
    inScene(async (scene) => {
      const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=8M`, { args: flags });
      const client = await NbdClient.connect(front.uri);
      scene.defer(() => client.destroy());
      const pattern = blocks(4096, 60, Number.POSITIVE_INFINITY);
      const load = new VerifyingLoad([client], { pattern, seed: 1, depth: 16, bytes: BYTES });
      const written = async (): Promise<void> => {
        while (load.tally.writes < WRITTEN) await load.nextCompletion();
      };
      load.start();
      await within("the blocks to be written", WRITTEN_TIMEOUT_MS, written());
      await front.killDriver();
      await load.stop();
      await load.readBack();
      await client.close();
      const { errors, firstError, wrong } = load.tally;
      assert.equal(errors, 0, firstError);
      assert.equal(wrong > 0, shadow === "off", `${wrong} sectors were lost`);
      await front.stop();
    }));
}
