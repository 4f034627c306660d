import { strict as assert } from "node:assert";
import { test } from "node:test";
import { MAX_SEARCH_CHECKS, minimise } from "./minimise.ts";
import { type CrashState, isWhollyMissing, without } from "./state.ts";
import { historyOf, write } from "./testing-history.ts";

const COUNT = 100;
const HISTORY = historyOf(Array.from({ length: COUNT }, (_, index) => write(8 * index, 8 * index + 8)));
const EVERYTHING = without(
  HISTORY,
  COUNT,
  Array.from({ length: COUNT }, (_, index) => index),
);
const SECTORS = { atomicSectors: 1 };

function lacks(state: CrashState, index: number): boolean {
  return isWhollyMissing(HISTORY, state.missing, index);
}

test("what doesn't matter is put back, whole changes first, then their sectors", async () => {
  const hasLost = (state: CrashState, sector: number): boolean =>
    [...state.missing.values()].flat().some(({ from, to }) => from <= sector && sector < to);
  // Sector 3 of change 7, and sector 0 of change 60, have to be missing both.
  const fails = async (state: CrashState): Promise<boolean> => hasLost(state, 59) && hasLost(state, 480);
  const { state, isMinimal } = await minimise(EVERYTHING, SECTORS, fails, 2);
  assert(isMinimal);
  assert.deepEqual(
    [...state.missing],
    [
      [7, [{ from: 59, to: 60 }]],
      [60, [{ from: 480, to: 481 }]],
    ],
  );
});

test("a check that fails whatever is missing is told by the state without anything missing, after one check", async () => {
  let checks = 0;
  const { state } = await minimise(
    EVERYTHING,
    SECTORS,
    async () => {
      checks++;
      return true;
    },
    4,
  );
  assert.equal(state.missing.size, 0);
  assert.equal(checks, 1);
});

test("a sector is found in a change of a million within the checks of a search", async () => {
  const sectors = 1 << 20;
  const history = historyOf([write(0, sectors), write(0)]);
  const fails = async ({ missing }: CrashState): Promise<boolean> =>
    missing.get(0)?.some(({ from, to }) => from <= 777_777 && 777_777 < to) === true;
  const { state, isMinimal } = await minimise(without(history, 2, [0, 1]), SECTORS, fails, 2);
  assert(isMinimal);
  assert.deepEqual([...state.missing], [[0, [{ from: 777_777, to: 777_778 }]]]);
});

test("a search that breaks off does so when none of its checks runs any more", async () => {
  const ended: number[] = [];
  const search = minimise(
    EVERYTHING,
    SECTORS,
    async ({ missing }) => {
      if (missing.size === 0) return false;
      const isFirst = missing.has(0);
      if (!isFirst) await new Promise((resolve) => setImmediate(resolve));
      ended.push(missing.size);
      if (isFirst) throw new Error("broken off");
      return false;
    },
    2,
  );
  await assert.rejects(search, /broken off/);
  assert.equal(ended.length, 2);
});

test("no more is asked at a time than wanted", async () => {
  let [running, most] = [0, 0];
  const fails = async (state: CrashState): Promise<boolean> => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
    return lacks(state, 3) && lacks(state, 50) && lacks(state, 97);
  };
  const { state } = await minimise(EVERYTHING, { atomicSectors: 8 }, fails, 3);
  assert.deepEqual([...state.missing.keys()], [3, 50, 97]);
  assert.equal(most, 3);
});

test("a search ends after so many checks, with a state that fails", async () => {
  let checks = 0;
  const fails = async (state: CrashState): Promise<boolean> => {
    checks++;
    // Every change counts: nothing can be put back.
    return state.missing.size === COUNT || (state.missing.size > COUNT / 2 && checks % 7 === 0);
  };
  const { state } = await minimise(EVERYTHING, SECTORS, fails, 1);
  assert(state.missing.size > 0);
  assert(checks <= MAX_SEARCH_CHECKS + 1);
});
