import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import { killOrphans } from "../link/process-family.ts";
import { isGone, type ProcessId, stateOf } from "../os/process-id.ts";

/** How often to look whether the last of them is gone. */
const POLL_MS = 5;
/** From then on, it is said what is waited for. */
const PATIENCE_MS = 1000;

export interface FenceOrder {
  readonly device: string;
  /** Names of its stores. */
  readonly stores: readonly string[];
  /** The last drivers that are known of fronts which are dead, also those that have ended. */
  readonly drivers: readonly ProcessId[];
  readonly timeoutMs: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Ends what fronts that are dead have left on these stores, and resolves when none of it runs any more (P4): drivers that are slow to
 * die, and what they have started. It is found by its marks, and by the sessions and groups that those drivers led. A driver that ends has no environment any more while its
 * descriptors are still open, so that its number is waited for as well. Rejects with `not-fenced`, or when it is aborted.
 */
export async function fence({ device, stores, drivers, timeoutMs, say, signal }: FenceOrder): Promise<void> {
  const since = performance.now();
  const alive = new Map(drivers.map((driver) => [driver.pid, driver]));
  let hasSpoken = false;
  for (;;) {
    for (const orphan of await killOrphans(stores, drivers)) alive.set(orphan.pid, orphan);
    for (const [pid, id] of alive) if (isGone(id)) alive.delete(pid);
    const [first] = alive.values();
    if (first === undefined) return;
    const waitedMs = performance.now() - since;
    const what = `process ${first.pid} (state ${stateOf(first) ?? "unknown"}) of an earlier front's driver`;
    if (waitedMs > timeoutMs) {
      const message = `Cannot serve ${device}: ${what} still has its store ${timeoutMs} ms after SIGKILL, its end was wanted`;
      throw new SkinkError("not-fenced", message);
    }
    if (waitedMs > PATIENCE_MS && !hasSpoken) {
      say(`waits for the end of ${what}`);
      hasSpoken = true;
    }
    await delay(POLL_MS, undefined, { signal });
  }
}
