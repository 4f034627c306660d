import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_LATENCY, parseLatency } from "./latency.ts";

const DRAWS = 20_000;

function draws(text: string): number[] {
  const latency = parseLatency(text);
  return Array.from({ length: DRAWS }, latency).sort((a, b) => a - b);
}

function near(found: number | undefined, wanted: number): void {
  assert.ok(found !== undefined && Math.abs(found - wanted) < wanted * 0.1, `${found} is not near ${wanted}`);
}

const mean = (all: readonly number[]): number => all.reduce((sum, one) => sum + one, 0) / all.length;
const quantile = (all: readonly number[], share: number): number | undefined => all[Math.floor(all.length * share)];

test("a time is the same for all calls, and none is none", () => {
  assert.equal(parseLatency("5ms")(), 5);
  assert.equal(parseLatency("0us"), NO_LATENCY);
});

test("a uniform latency lies between its ends", () => {
  const all = draws("uniform:1ms,3ms");
  assert.ok((all[0] ?? 0) >= 1 && (all.at(-1) ?? 9) <= 3);
  near(mean(all), 2);
});

test("a normal one has its mean, and is never negative", () => {
  near(mean(draws("normal:10ms,2ms")), 10);
  assert.ok((draws("normal:1ms,5ms")[0] ?? -1) >= 0);
});

test("an exponential one has its mean and its median", () => {
  const all = draws("exponential:10ms");
  near(mean(all), 10);
  near(quantile(all, 0.5), 10 * Math.LN2);
});

test("a lognormal one has its median and its tail", () => {
  const all = draws("lognormal:1ms,20ms");
  near(quantile(all, 0.5), 1);
  assert.ok((quantile(all, 0.98) ?? 0) < 20 && (quantile(all, 0.995) ?? 0) > 20);
});

test("what is no distribution is refused with those that are", () => {
  assert.throws(() => parseLatency("zipf:1ms"), /"zipf:1ms".*exponential:100us \(mean\)/);
  assert.throws(() => parseLatency("constructor:1ms"), /exponential/);
  assert.throws(() => parseLatency("uniform:3ms,1ms"), /uniform:50us,150us \(from, to\) was wanted/);
  assert.throws(() => parseLatency("exponential:1ms,2ms"), /exponential:100us/);
  assert.throws(() => parseLatency("normal:1,2"), /a time such as/);
});
