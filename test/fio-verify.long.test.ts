import { strict as assert } from "node:assert";
import { test } from "node:test";
import { verify } from "./fio.ts";
import { Killer } from "./killer.ts";
import { peer } from "./peers.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";

const WANTED_KILLS = 150;
const WANTED_IOS = 50_000;
const KILL_AFTER_LIVE_MS = 100;

test("fio finds every write of 150 killed drivers with volatile caches", { skip: peer("fio") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=128M`);
    const killer = new Killer(front, KILL_AFTER_LIVE_MS);
    let ios = 0;
    for (let round = 1; killer.kills < WANTED_KILLS || ios < WANTED_IOS; round++) {
      ios += await verify(scene, front.uri, { round, size: "128M" });
    }
    await killer.stop();

    const { counters, restarts } = await front.device();
    assert.equal(counters.errors, 0);
    assert.equal(restarts, killer.kills);
    assert.ok(counters.replayedPieces > 0, "the kills lost nothing, so they proved nothing");
    await front.stop();
  }),
);
