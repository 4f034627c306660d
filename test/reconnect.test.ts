/** QEMU reconnects, and finds what was acknowledged. npm run experiment does all of it, with the servers alone beside. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { peer } from "./peers.ts";
import { keptEverything, runTrial, type Trial } from "./reconnect-experiment.ts";
import { FRONT_DEATHS } from "./reconnect-kill.ts";
import { CACHE_FILTER, QCOW2, STORES } from "./reconnect-stores.ts";
import { inScene } from "./scene.ts";

const TRIALS: readonly Trial[] = [
  ...STORES.map((store): Trial => ({ store, via: "memory", killed: "server" })),
  ...FRONT_DEATHS.map((killed): Trial => ({ store: QCOW2, via: "shm", killed })),
  ...FRONT_DEATHS.map((killed): Trial => ({ store: CACHE_FILTER, via: "disk", killed })),
];

for (const trial of TRIALS) {
  const { store, via, killed } = trial;
  const what = `QEMU finds what it wrote to ${store.name}, home ${via}, killed: ${killed}`;
  test(what, { skip: peer(...store.peers) }, () =>
    inScene(async (scene) => {
      const finding = await runTrial(scene, trial);
      assert.ok(keptEverything(finding), JSON.stringify(finding));
    }),
  );
}

const alone = "the experiment sees what a server loses with nothing in front of it";
test(alone, { skip: peer(...CACHE_FILTER.peers) }, () =>
  inScene(async (scene) => {
    const finding = await runTrial(scene, { store: CACHE_FILTER, via: "alone", killed: "server" });
    const { acknowledged, flush, lostInSession, lostInImage } = finding;
    assert.ok(acknowledged && flush === "succeeded", JSON.stringify(finding));
    assert.ok(lostInSession > 0 && lostInImage === lostInSession, JSON.stringify(finding));
  }),
);
