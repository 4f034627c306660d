import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 5;

/** Polls `probe` until it gives something, and returns that. Fails after `deadlineMs` with what was waited for. */
export async function until<Found>(
  what: string,
  deadlineMs: number,
  probe: () => Found | undefined | Promise<Found | undefined>,
): Promise<Found> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`Waited ${deadlineMs} ms in vain for ${what}`);
    await sleep(POLL_MS);
  }
}

/** As `promise`, but fails after `deadlineMs` with what was waited for. */
export async function within<Value>(what: string, deadlineMs: number, promise: Promise<Value>): Promise<Value> {
  const cancel = new AbortController();
  const late = sleep(deadlineMs, undefined, { signal: cancel.signal }).then(() => {
    throw new Error(`Waited ${deadlineMs} ms in vain for ${what}`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel.abort();
  }
}
