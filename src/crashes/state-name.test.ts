import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { drawStates } from "./draw.ts";
import { type DiskManners, HONEST, pointAt } from "./points.ts";
import { nameOf, parseName } from "./state-name.ts";
import { FLUSH, historyOf, write } from "./testing-history.ts";

const HISTORY = historyOf([
  write(0, 8),
  FLUSH,
  ...Array.from({ length: 12 }, (_, index) => write(8 * index, 8 * index + 8)),
  { mark: "m" },
  { ...write(90, 95), fua: true },
  { ...write(0, 64), discard: true },
]);
const ALL = HISTORY.entries.length;

test("a run has all changes in between, whatever flushes and marks are there, and a change that is named twice is missing twice", () => {
  const lying: DiskManners = { lying: Number.POSITIVE_INFINITY };
  assert.deepEqual([...parseName(HISTORY, lying, "16-0..3").missing.keys()], [0, 2, 3]);
  assert.equal(
    nameOf(HISTORY, pointAt(HISTORY, lying, 16).volatile, parseName(HISTORY, lying, "16-0,2,5,6")),
    "16-0..2,5..6",
  );
  assert.deepEqual(parseName(HISTORY, HONEST, "14-3/0,3/2,3/1"), parseName(HISTORY, HONEST, "14-3/0..2"));
});

test("a name brings back its state, and no other", () => {
  for (const lying of [undefined, 3, Number.POSITIVE_INFINITY]) {
    const manners: DiskManners = { lying };
    const names = new Map<string, string>();
    for (const end of [0, 3, 14, 16, ALL]) {
      const point = pointAt(HISTORY, manners, end);
      let left = 300;
      for (const state of drawStates(HISTORY, point, { atomicSectors: 1 }, new SeededRandom(end))) {
        const name = nameOf(HISTORY, point.volatile, state);
        assert.deepEqual(parseName(HISTORY, manners, name), state, name);
        const content = JSON.stringify([state.end, ...state.missing]);
        assert.equal(names.get(name) ?? content, content, name);
        assert.match(name, /^[\d\-+,./]+$/);
        names.set(name, content);
        if (--left === 0) break;
      }
    }
  }
});

for (const [name, missing] of [
  ["14", []],
  ["14-3", [[3, [{ from: 8, to: 16 }]]]],
  [
    "14-3..4,6/0..1/7",
    [
      [3, [{ from: 8, to: 16 }]],
      [4, [{ from: 16, to: 24 }]],
      [
        6,
        [
          { from: 32, to: 34 },
          { from: 39, to: 40 },
        ],
      ],
    ],
  ],
  [
    "5+3/1..7",
    [
      [2, [{ from: 0, to: 8 }]],
      [3, [{ from: 8, to: 9 }]],
      [4, [{ from: 16, to: 24 }]],
    ],
  ],
] as const) {
  test(`${name} means what it says`, () => {
    const state = parseName(HISTORY, HONEST, name);
    assert.deepEqual([...state.missing], missing);
    assert.equal(nameOf(HISTORY, pointAt(HISTORY, HONEST, state.end).volatile, state), name);
  });
}

for (const name of [
  "",
  "x",
  "14-",
  "-3",
  "14-3,",
  "14-3/8",
  "14-3/2..1",
  "14-3..4/1",
  "14-1",
  "14-0",
  "14-20",
  "99",
  "14-15",
  "14-4..3",
  "14\n",
]) {
  test(`${JSON.stringify(name)} is refused in one line`, () => {
    assert.throws(() => parseName(HISTORY, HONEST, name), {
      code: "bad-state",
      message: /^Cannot use the state [^\n]*: [^\n]*wanted$/,
    });
  });
}
