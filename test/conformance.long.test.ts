/** A short form of npm run conformance. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Finding, runKills, type Via } from "./conformance-run.ts";
import { SUBJECTS, type Subject } from "./conformance-servers.ts";
import { peer } from "./peers.ts";
import { inScene } from "./scene.ts";

const KILLS = 2;
/**
 * A kill right after a flush loses nothing, and while nothing has been flushed the shadow holds all there is, even for a store that is
 * empty again. Neither happens so often.
 */
const KILLS_TO_LOSE = 10;
const SEED = 5;
/** Read back in a moment, and more than is written between two kills. */
const BYTES = 32 << 20;

const loses = (["nbdkit file, filter cache=writeback", "qemu-nbd qcow2, cache=writeback"] as const).map(subjectNamed);
const memory = subjectNamed("nbdkit memory");

for (const subject of loses) {
  const skip = peer(...subject.peers);
  test(`alone, ${subject.name} loses acknowledged writes in silence, and a flush after that succeeds`, {
    skip,
  }, async () => {
    const { faults, errors, lost, flushLies, state } = await run(subject, "alone", KILLS_TO_LOSE);
    assert.deepEqual({ faults, errors, state }, { faults: KILLS_TO_LOSE, errors: 0, state: "live" });
    assert.ok(lost > 0);
    assert.ok(flushLies > 0);
  });

  test(`behind Skink, ${subject.name} loses nothing, and no request fails`, { skip }, async () => {
    const { faults, errors, lost, stallsMs, state } = await run(subject, "Skink");
    assert.deepEqual({ faults, errors, lost, state }, { faults: KILLS, errors: 0, lost: 0, state: "live" });
    assert.equal(stallsMs.length, KILLS);
  });
}

test("behind Skink, a store that dies with its server fails, and serves no zeroes", {
  skip: peer(...memory.peers),
}, async () => {
  const { lost, state } = await run(memory, "Skink", KILLS_TO_LOSE);
  assert.deepEqual({ lost, state }, { lost: 0, state: "failed" });
});

async function run(subject: Subject, via: Via, kills = KILLS): Promise<Finding> {
  let finding: Finding | undefined;
  await inScene(async (scene) => {
    const { signal } = new AbortController();
    finding = await runKills(scene, subject, { via, kills, seed: SEED, bytes: BYTES, signal, progress() {} });
  });
  return finding as Finding;
}

function subjectNamed(name: string): Subject {
  return SUBJECTS.find((subject) => subject.name === name) as Subject;
}
