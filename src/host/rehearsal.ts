import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { OpenedDevice } from "../block/driver.ts";
import { Executor } from "../link/executor.ts";
import { openLoaded } from "../link/opening.ts";
import { HostPulse } from "../link/pulse.ts";
import { FrontRing, HostRing, ringBytes } from "../link/ring.ts";
import { Views } from "../link/views.ts";
import type { Operation } from "../shadow/ports.ts";
import { HostLoop } from "./loop.ts";

const DEPTH = 16;
const ROUNDS = 8;
const BLOCK_BYTES = 4096;
const OPERATIONS: readonly Operation[] = ["read", "write", "flush"];

/**
 * Opens and serves a device that does nothing, over rings that nobody else sees: what a spare runs from its order to the
 * first completions has been compiled then. That halves the time these take.
 */
export async function rehearse(): Promise<void> {
  const name = "rehearsal";
  const { signal } = new AbortController();
  const context = { epoch: 0, signal, log() {}, keep: () => new Uint8Array() };
  const { device } = await openLoaded({ name, driver: { open: () => NOTHING }, options: {} }, context);

  const bytes = ringBytes(DEPTH);
  const [own, peer] = [new ArrayBuffer(bytes.host), new ArrayBuffer(bytes.front)];
  // It never says that it sleeps, so no doorbell rings.
  const front = new FrontRing(peer, own, DEPTH);
  const memory = new Views(new Uint8Array(BLOCK_BYTES));
  const loop = new HostLoop(new HostRing(own, peer, DEPTH), new HostPulse(own, peer));
  loop.start((complete) => new Executor(device, BLOCK_BYTES, memory, memory, complete));
  for (let round = 0; round < ROUNDS; round++) {
    for (let tag = 0; tag < DEPTH; tag++) {
      front.submit(tag, OPERATIONS[tag % OPERATIONS.length] as Operation, 0, 0, BLOCK_BYTES, 0);
    }
    front.publish();
    await loop.drained();
    for (let left = front.arrived() ?? 0; left > 0; left--) front.next();
  }
  collectGarbage();
}

/** The memory that was mapped since the start makes a collection due, and several milliseconds long. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  setFlagsFromString("--no-expose-gc");
}

const NOTHING: OpenedDevice = { size: BLOCK_BYTES, read() {}, async write() {}, flush() {} };
