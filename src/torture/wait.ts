import { setTimeout as delay } from "node:timers/promises";

/** How often is looked. */
const POLL_MS = 5;

/** Looks until `probe` finds something, and returns that; `undefined` after `ms`. */
export async function waitFor<Found>(ms: number, probe: () => Found | undefined): Promise<Found | undefined> {
  const deadline = performance.now() + ms;
  for (;;) {
    const found = probe();
    if (found !== undefined || performance.now() > deadline) return found;
    await delay(POLL_MS);
  }
}

/** Whether `work` is done within `ms`. Rejects as `work` does. */
export async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  const cancel = new AbortController();
  const { signal } = cancel;
  const late = delay(ms, false, { signal }).catch(() => false);
  try {
    return (await Promise.race([work.then(() => true), late])) as boolean;
  } finally {
    cancel.abort();
  }
}
