import assert from "node:assert/strict";
import { test } from "node:test";
import { sweep } from "./sweep.ts";

const SEEDS = 900;
const WORKERS = 2;
/** One in so many of the worlds lives twice, and goes the same way. */
const TWICE_EVERY = 20;
/** At least this part of the worlds has an overlapping FUA request and a crash after it. */
const FUA_AND_CRASH_SHARE = 0.3;

test(`every promise holds in ${SEEDS} worlds, and the same seed gives the same world`, async () => {
  const result = await sweep({ from: 1, seeds: SEEDS, workers: WORKERS, twiceEvery: TWICE_EVERY });
  if (result.failure !== undefined) {
    const { seed, message, lines } = result.failure;
    const replay = `replay it: npm run sim -- --seeds 1 --from ${seed} --verbose`;
    assert.fail([`seed ${seed} broke ${message}`, ...lines, replay].join("\n"));
  }
  assert.equal(result.seeds, SEEDS);
  const share = result.fuaOverlapsAndCrashes / SEEDS;
  for (const [kind, count] of Object.entries(result.counts))
    assert.ok(count > 0, `none of the worlds had any: ${kind}`);
  assert.ok(share >= FUA_AND_CRASH_SHARE, `only ${share} of the worlds have an overlapping FUA request and a crash`);
});
