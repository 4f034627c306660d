import { closeSync, readFileSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import { createMemfd } from "../os/memfd.ts";
import { isGone, type ProcessId } from "../os/process-id.ts";
import { storedName } from "../service/names.ts";
import type { ServiceManager } from "../service/service-manager.ts";

/** What a front stores from its word that another one hand over until that has done so. */
const NAME = storedName("before");
/** Longer than a front takes to stop. */
const END_TIMEOUT_MS = 30_000;
const POLL_MS = 2;

/** Stores which front this one takes over from: should this one die before that has ended, the next one has to wait for it. */
export function storePredecessor(service: ServiceManager, { pid, started }: ProcessId): void {
  if (!service.canStore) return;
  const text = Buffer.from(JSON.stringify({ pid, started }));
  const fd = createMemfd("skink-before", text.byteLength);
  writeSync(fd, text, 0, text.byteLength, 0);
  service.store(NAME, fd);
}

/** It has handed over, or doesn't. */
export function forgetPredecessor(service: ServiceManager): void {
  if (service.canStore) service.forget(NAME);
}

/**
 * Waits for the end of the front that one before this one was taking over from, if there was any: until then it has the memory of shadows
 * and drivers in use, which nothing else locks. Rejects with `front-serves`.
 */
export async function awaitPredecessor(service: ServiceManager, timeoutMs = END_TIMEOUT_MS): Promise<void> {
  for (const fd of service.takeAll(NAME)) {
    const before = JSON.parse(readFileSync(`/proc/self/fd/${fd}`, "utf8")) as ProcessId;
    closeSync(fd);
    if (!(await hasEnded(before, timeoutMs))) {
      const what = `the front with pid ${before.pid}, which was to hand over, still runs after ${timeoutMs} ms`;
      throw new SkinkError("front-serves", `Cannot start: ${what}, its end was wanted: stop one of the two`);
    }
    service.forget(NAME);
  }
}

/** Resolves with false if it hasn't in that time. */
export async function hasEnded(front: ProcessId, timeoutMs: number): Promise<boolean> {
  const until = performance.now() + timeoutMs;
  while (!isGone(front)) {
    if (performance.now() >= until) return false;
    await delay(POLL_MS);
  }
  return true;
}
