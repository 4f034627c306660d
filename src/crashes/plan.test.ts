import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import type { History } from "./history.ts";
import { Plan, shareOut } from "./plan.ts";
import { crashPoints, type DiskManners, HONEST } from "./points.ts";
import { stateKey } from "./state-key.ts";
import { nameOf } from "./state-name.ts";
import { reachable } from "./testing-disk.ts";
import { contentOf, FLUSH, historyOf, type Said, write } from "./testing-history.ts";
import { WriteIndex } from "./write-index.ts";

const SECTORS = 3;
const ALPHABET: readonly Said[] = [
  write(0),
  write(1),
  write(0, 2),
  write(0, 3),
  { ...write(1, 3), fua: true },
  { ...write(0, 2), fua: true, flush: true },
  { ...write(1, 3), flush: true },
  { ...write(0, 2), discard: true },
  FLUSH,
  { ...FLUSH, overtaken: 1 },
  { ...FLUSH, overtaken: 2 },
  { mark: "m" },
  { mark: "skink: of its own" },
];
const LONG_LOGS = 400;
const LONG_LOG_ENTRIES = 6;

test("the states of a log are what a disk with a volatile cache may leave, each once: all logs of 3 entries", () => {
  for (const first of ALPHABET) {
    for (const second of ALPHABET) for (const third of ALPHABET) compare([first, second, third]);
  }
});

test("the states of a log are what a disk with a volatile cache may leave, each once: longer logs", () => {
  for (let seed = 0; seed < LONG_LOGS; seed++) {
    const random = new SeededRandom(seed);
    compare(Array.from({ length: LONG_LOG_ENTRIES }, () => ALPHABET[random.below(ALPHABET.length)] as Said));
  }
});

test("what a limit allows is shared out evenly, and nobody gets more than it can use", () => {
  assert.deepEqual(shareOut(100, [10, Number.POSITIVE_INFINITY, 2]), [10, 88, 2]);
  assert.deepEqual(shareOut(9, [10, Number.POSITIVE_INFINITY, 2]), [3, 4, 2]);
  assert.deepEqual(shareOut(1000, [1, 2, 3]), [1, 2, 3]);
  assert.deepEqual(shareOut(2, [5, 5, 5]), [0, 1, 1]);
});

test("where there are too many states, none, all, each one missing and each one alone are among those drawn", () => {
  const writes = 20;
  const history = historyOf([...Array.from({ length: writes }, (_, index) => write(8 * index, 8 * index + 8)), FLUSH]);
  const contents = new Set(planned(history, 400).map((text) => text.slice(0, -1)));
  const only = (isThere: (number: number) => boolean): string =>
    Array.from({ length: writes }, (_, index) => (isThere(index) ? `${index}` : "-").repeat(8)).join("");
  assert.equal(contents.size, 400);
  for (const wanted of [only(() => true), only(() => false)]) assert(contents.has(wanted));
  for (let one = 0; one < writes; one++) {
    assert(contents.has(only((number) => number !== one)), `without ${one}`);
    assert(contents.has(only((number) => number === one)), `${one} alone`);
    assert(contents.has(only((number) => number < one)), `up to ${one}`);
  }
  assert(
    [...contents].some((text) => /(?<!\d)(?:3{1,7})(?!3)/.test(text)),
    "none is torn",
  );
});

test("where all states of a point are too many for its share, those drawn are of all kinds", () => {
  const points = 10;
  const writes = 12;
  const round = [...Array.from({ length: writes }, (_, index) => write(index)), FLUSH];
  const history = historyOf(Array.from({ length: points }, () => round).flat());
  const found = [...planOf(history, 20 * points, 1)];
  assert(found.length > 19 * points);
  const first = found.filter(({ point }) => point.end === writes + 1);
  assert(first.some(({ state }) => state.missing.size === writes));
  for (let number = 0; number < writes; number++) {
    const without = first.filter(({ state }) => state.missing.has(number)).length;
    assert(without > 0 && without < first.length, `${number} is missing in ${without} of ${first.length}`);
  }
});

test("where there are more points than states, some have enough of them, by chance, and something is missing in most", () => {
  const points = 1000;
  const history = historyOf(
    Array.from({ length: points }, () => [write(0), write(8), write(16), write(24), FLUSH]).flat(),
  );
  const ends = (seed: number): number[] => {
    const found = [...planOf(history, 80, seed)];
    assert(found.length > 70 && found.length <= 80, `${found.length} states`);
    assert(found.filter(({ state }) => state.missing.size > 0).length > 60);
    return found.map(({ point }) => point.end);
  };
  assert.notDeepEqual(ends(1), ends(2));
  assert(Math.min(...ends(1)) < 2500 && Math.max(...ends(1)) > 2500);
});

test("many writes in a row make states with names of some kilobytes, in time", { timeout: 120_000 }, () => {
  const history = historyOf(
    [...Array.from({ length: 50_000 }, (_, index) => [write(8 * index, 8 * index + 8), FLUSH])].flat(),
  );
  const points = crashPoints(
    history,
    { lying: Number.POSITIVE_INFINITY },
    { from: history.entries.length, to: history.entries.length },
  );
  const names = [...plan(history, points, 12)].map(({ point, state }) => nameOf(history, point.volatile, state));
  assert.equal(names.length, 12);
  // A check has it in its environment, where one value has at most 128 KiB.
  for (const name of names) assert(name.length < 32 << 10, `${name.length} characters`);
});

test("what is uncertain at a point takes no memory of its own", () => {
  const history = historyOf(Array.from({ length: 100 }, () => [write(0), { mark: "m" }]).flat());
  const [first, second] = crashPoints(history).map(({ volatile }) => volatile);
  assert.notDeepEqual(first, second);
  assert.equal(first?.buffer, second?.buffer);
});

test("the same seed draws the same states, another one others", () => {
  const history = historyOf([...Array.from({ length: 20 }, (_, index) => write(index)), FLUSH]);
  const draws = [1, 1, 2].map((seed) => planned(history, 100, seed).join());
  assert.equal(draws[0], draws[1]);
  assert.notEqual(draws[0], draws[2]);
});

test("a disk that writes larger pieces whole tears at their borders alone", () => {
  const history = historyOf([write(6, 18), FLUSH]);
  const plan = planOf(history, Number.POSITIVE_INFINITY, 0, 8);
  const contents = [...plan].map(({ state }) => contentOf(history, state, 18));
  // From 6 to 8, from 8 to 16, from 16 to 18.
  const pieces = [2, 8, 2];
  const wanted = Array.from(
    { length: 8 },
    (_, mask) => `------${pieces.map((count, bit) => (mask & (1 << bit) ? "0" : "-").repeat(count)).join("")}`,
  );
  assert.deepEqual(contents.sort(), wanted.sort());
});

test("a disk that swallows flushes may lose what it has acknowledged as durable", () => {
  const history = historyOf([write(0), FLUSH, { ...write(1), fua: true }, FLUSH, write(2), FLUSH]);
  const contents = (lying: number): string[] => {
    const points = crashPoints(history, { lying });
    return [...new Set([...plan(history, points)].map(({ state }) => contentOf(history, state, SECTORS)))].sort();
  };
  assert.deepEqual(contents(Number.POSITIVE_INFINITY), ["---", "--4", "-2-", "-24", "0--", "0-4", "02-", "024"]);
  assert.deepEqual(contents(1), ["---", "0--", "02-", "024"]);
});

test("a disk that swallows some flushes may lose all that an honest one may lose", () => {
  const history = historyOf([write(0), FLUSH, write(1), write(2), FLUSH]);
  const contents = (manners: DiskManners): string[] => {
    const states = [...plan(history, crashPoints(history, manners))];
    return [...new Set(states.map(({ state }) => contentOf(history, state, SECTORS)))].sort();
  };
  assert.deepEqual(contents({ lying: 1 }), contents(HONEST));
});

/** Fails unless what is planned is what is reachable, and nothing of it comes twice. */
function compare(said: readonly Said[]): void {
  const history = historyOf(said);
  // Those of the recorder say nothing to a check.
  const wanted = reachable(
    {
      ...history,
      entries: history.entries.map((entry) => (entry.mark === "m" ? entry : { ...entry, mark: undefined })),
    },
    SECTORS,
  );
  const found = planned(history, Number.POSITIVE_INFINITY);
  assert.deepEqual(new Set(found), wanted, JSON.stringify(said));
  // Two discards in a row may give the same zeroes.
  if (!said.some(({ discard }) => discard)) assert.equal(found.length, wanted.size, JSON.stringify(said));
}

/** "medium mark" each. */
function planned(history: History, limit: number, seed = 0): string[] {
  const { sectorSize, entries } = history;
  const sectors = Math.max(SECTORS, ...entries.map(({ offset, length }) => (offset + length) / sectorSize));
  return [...planOf(history, limit, seed)].map(
    ({ state, point }) => `${contentOf(history, state, sectors)} ${point.mark ?? ""}`,
  );
}

function planOf(history: History, limit: number, seed: number, atomicSectors = 1): Plan {
  return plan(history, crashPoints(history, HONEST), limit, seed, atomicSectors);
}

function plan(
  history: History,
  points: ReturnType<typeof crashPoints>,
  limit = Number.POSITIVE_INFINITY,
  seed = 0,
  atomicSectors = 1,
): Plan {
  const index = new WriteIndex(history);
  const keyOf: ConstructorParameters<typeof Plan>[2]["keyOf"] = (state, mark) =>
    stateKey(history, index, state, mark, () => false);
  return new Plan(history, points, { tearing: { atomicSectors }, seed, limit, keyOf });
}
