import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Killer } from "./killer.ts";
import { peer } from "./peers.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";

const WANTED_KILLS = 150;
const WANTED_IOS = 50_000;
const KILL_AFTER_LIVE_MS = 100;
const FIO_TIMEOUT_MS = 60_000;

interface FioJob {
  readonly error: number;
  readonly read: { readonly total_ios: number };
  readonly write: { readonly total_ios: number };
}

test("fio finds every write of 150 killed drivers with volatile caches", { skip: peer("fio") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=128M`);
    const killer = new Killer(front, KILL_AFTER_LIVE_MS);
    let ios = 0;
    for (let round = 1; killer.kills < WANTED_KILLS || ios < WANTED_IOS; round++) {
      const results = scene.path("fio.json");
      await scene.need("fio", [...fioArguments(front.uri, round), `--output=${results}`], FIO_TIMEOUT_MS);
      const { jobs } = JSON.parse(readFileSync(results, "utf8")) as { jobs: FioJob[] };
      for (const job of jobs) {
        assert.equal(job.error, 0);
        ios += job.read.total_ios + job.write.total_ios;
      }
    }
    await killer.stop();

    const { counters, restarts } = await front.device();
    assert.equal(counters.errors, 0);
    assert.equal(restarts, killer.kills);
    assert.ok(counters.replayedPieces > 0, "the kills lost nothing, so they proved nothing");
    await front.stop();
  }),
);

/** Another `round`, other contents: what is left of an older one would be found. */
function fioArguments(uri: string, round: number): string[] {
  return [
    "--name=verify",
    "--ioengine=nbd",
    `--uri=${uri}`,
    "--rw=randwrite",
    "--bssplit=512/10:4k/50:16k/25:64k/15",
    "--size=128M",
    "--iodepth=32",
    "--fsync=32",
    `--randseed=${round}`,
    "--verify=crc32c",
    "--verify_fatal=1",
    "--verify_state_save=0",
    "--output-format=json",
  ];
}
