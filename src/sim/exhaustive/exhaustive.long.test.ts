import assert from "node:assert/strict";
import { test } from "node:test";
import { describeSetting, SETTINGS, survey } from "./survey.ts";

/** Scripts of three steps, one in so many; `npm run exhaustive -- --steps 3` has them all. */
const STRIDES = { memory: 421, shm: 421, disk: 6007 };

for (const setting of SETTINGS) {
  test(`P1, P2, P3, P9 hold in every play of scripts of three steps: ${describeSetting(setting)}`, () => {
    const { failure } = survey({ setting, length: 3, from: 1, stride: STRIDES[setting.home] });
    assert.equal(failure, undefined);
  });
}
