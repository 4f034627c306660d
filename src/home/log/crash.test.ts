import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SeededRandom } from "../../block/random.ts";
import { History } from "./testing-history.ts";

const SEEDS = 150;
const LIVES = 25;

function eachSeed(run: (seed: number) => void): void {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      run(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
}

test("after power cuts all that was synced is there, in order, and nothing comes back", () => {
  eachSeed((seed) => {
    const random = new SeededRandom(seed);
    const history = new History(seed);
    for (let life = 0; life < LIVES; life++) {
      history.live(random.below(60));
      history.powerCut();
    }
  });
});

test("after the deaths of fronts all that was kept is there", () => {
  eachSeed((seed) => {
    const random = new SeededRandom(seed);
    const history = new History(seed);
    for (let life = 0; life < LIVES; life++) {
      history.live(random.below(60));
      history.kill();
    }
  });
});

test("deaths, power cuts and clean ends follow on each other", () => {
  eachSeed((seed) => {
    const random = new SeededRandom(seed);
    const history = new History(seed);
    for (let life = 0; life < LIVES; life++) {
      history.live(random.below(60));
      const draw = random.below(5);
      if (draw < 2) history.kill();
      else if (draw < 4) history.powerCut();
      else history.close();
    }
  });
});

test("one front goes around the log many times", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const history = new History(seed);
    history.live(5000);
    history.powerCut();
    assert.ok(history.disk.writes > 100);
  }
});
