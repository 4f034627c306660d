import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { drawStates } from "./draw.ts";
import { type History, rangeOf } from "./history.ts";
import { HONEST, pointAt } from "./points.ts";
import type { CrashState } from "./state.ts";
import { historyOf, write } from "./testing-history.ts";
import { BASE, WriteIndex } from "./write-index.ts";

const SECTORS = 5000;
const CHANGES = 60;
const SEEDS = 60;

test("each sector has the newest change of it that isn't missing, whatever the sizes of changes and of what is asked for", () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = new SeededRandom(seed);
    const history = historyOf(
      Array.from({ length: CHANGES }, () => {
        const from = random.below(SECTORS);
        return write(from, from + random.magnitude(1, SECTORS - from));
      }),
    );
    const index = new WriteIndex(history);
    let left = 5;
    for (const state of drawStates(history, pointAt(history, HONEST, CHANGES), { atomicSectors: 1 }, random)) {
      const wanted = contentOf(history, state);
      const from = random.below(SECTORS);
      for (const range of [
        { from: 0, to: SECTORS },
        { from, to: from + random.between(1, SECTORS - from) },
      ]) {
        const found = index.sources(state, range);
        assert.deepEqual(
          found.flatMap((source) => new Array<number>(source.to - source.from).fill(source.entry)),
          wanted.slice(range.from, range.to),
          `seed ${seed}`,
        );
        assert(found.every((source, at) => source.from === (found[at - 1]?.to ?? range.from)));
        assert(
          found.every((source, at) => source.entry !== found[at - 1]?.entry),
          "neighbours of one change are one",
        );
      }
      if (--left === 0) break;
    }
  }
});

test("where nothing was ever written there is what was there before", () => {
  assert.deepEqual(new WriteIndex(historyOf([])).sources({ end: 0, missing: new Map() }, { from: 3, to: 9 }), [
    { from: 3, to: 9, entry: BASE },
  ]);
});

/** By sector, one change after the other. */
function contentOf(history: History, { end, missing }: CrashState): number[] {
  const content = new Array<number>(SECTORS).fill(BASE);
  for (const entry of history.entries.slice(0, end)) {
    const { from, to } = rangeOf(history, entry);
    const before = content.slice(from, to);
    content.fill(entry.index, from, to);
    for (const lost of missing.get(entry.index) ?? []) {
      for (let sector = lost.from; sector < lost.to; sector++) content[sector] = before[sector - from] as number;
    }
  }
  return content;
}
