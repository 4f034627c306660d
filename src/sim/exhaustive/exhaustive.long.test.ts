import assert from "node:assert/strict";
import { test } from "node:test";
import { scriptCount } from "./scripts.ts";
import { describeSetting, SETTINGS } from "./setting.ts";
import { Surveyor } from "./survey.ts";

/** Scripts of three steps, one in so many; `npm run exhaustive -- --steps 3` has them all. */
const STRIDE = 79;

const surveyor = new Surveyor();
for (const setting of SETTINGS) {
  test(`P1, P2, P3, P9 hold in every play of scripts of three steps: ${describeSetting(setting)}`, () => {
    const { failure } = surveyor.survey({ setting, length: 3, from: 1, stride: STRIDE, until: scriptCount(3) });
    assert.equal(failure, undefined);
  });
}
