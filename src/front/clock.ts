import type { Clock, Random, Timer } from "../shadow/ports.ts";

/** Real time, for the core. */
export const realClock: Clock = {
  now: () => performance.now(),
  after: (ms, callback) => (ms <= 0 ? soon(callback) : later(ms, callback)),
};

/** Real chance, for the core. It decides what is sampled, never what is secret. */
export const realRandom: Random = {
  below: (bound) => Math.floor(Math.random() * bound),
};

/**
 * The first epoch of a front that starts now: the time in milliseconds. An incarnation takes longer than that to start, so
 * epochs grow over all fronts of a machine. `last`: the newest that is known of its store, should the clock have gone back.
 */
export function firstEpoch(last: number): number {
  return Math.max(Date.now(), last + 1);
}

/** A timer of 0 ms would take 1. */
function soon(callback: () => void): Timer {
  const handle = setImmediate(callback);
  return { cancel: () => clearImmediate(handle) };
}

function later(ms: number, callback: () => void): Timer {
  const handle = setTimeout(callback, ms);
  return { cancel: () => clearTimeout(handle) };
}
