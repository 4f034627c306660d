import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Executor } from "../link/executor.ts";
import { FrontPulse, HostPulse, monotonicMs } from "../link/pulse.ts";
import { FrontRing, HostRing, ringBytes } from "../link/ring.ts";
import { Views } from "../link/views.ts";
import { HostLoop } from "./loop.ts";

const DEPTH = 4;
const BLOCK_BYTES = 512;
/** Word of the host's file: how often it went to sleep and woke up; odd while it sleeps. */
const NAP = 16;

interface Scene {
  readonly loop: HostLoop;
  readonly front: FrontRing;
  readonly pulse: FrontPulse;
  naps(): number;
}

/** A loop with nothing to do, which sleeps. */
async function sleepingLoop(): Promise<Scene> {
  const bytes = ringBytes(DEPTH);
  const [own, peer] = [new ArrayBuffer(bytes.host), new ArrayBuffer(bytes.front)];
  const memory = new Views(new Uint8Array(BLOCK_BYTES));
  const device = { size: BLOCK_BYTES, read() {} };
  const loop = new HostLoop(new HostRing(own, peer, DEPTH), new HostPulse(own, peer));
  loop.start((complete) => new Executor(device, BLOCK_BYTES, memory, memory, complete));
  const naps = () => new Int32Array(own)[NAP] as number;
  while ((naps() & 1) === 0) await nextTurn();
  return { loop, front: new FrontRing(peer, own, DEPTH), pulse: new FrontPulse(peer, own, monotonicMs), naps };
}

test("a ping is answered from sleep, and does not end it", async () => {
  const { loop, pulse, naps } = await sleepingLoop();
  const before = { beat: pulse.beat, naps: naps() };
  pulse.ping();
  loop.rung();
  assert.notEqual(pulse.beat, before.beat);
  assert(pulse.lagMs !== undefined);
  assert.equal(naps(), before.naps);
});

test("work ends the sleep, and each submission is a sign of life", async () => {
  const { loop, front, pulse, naps } = await sleepingLoop();
  const before = { beat: pulse.beat, naps: naps() };
  for (let tag = 0; tag < DEPTH; tag++) front.submit(tag, "read", 0, 0, BLOCK_BYTES, 0);
  assert.equal(front.publish(), true);
  loop.rung();
  assert.equal(front.arrived(), DEPTH);
  assert.equal(pulse.beat, before.beat + 1 + DEPTH);
  assert.notEqual(naps(), before.naps);
});
