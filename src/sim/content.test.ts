import assert from "node:assert/strict";
import { test } from "node:test";
import { GARBAGE, identify, stamp, ZEROES } from "./content.ts";

for (const blockSize of [512, 4096, 65536]) {
  test(`a sector of ${blockSize} bytes tells which write filled it, and whether it is whole and in its place`, () => {
    const bytes = new Uint8Array(blockSize).fill(0xdb);
    assert.equal(identify(bytes, 5), GARBAGE);
    stamp(bytes, 5, 1234);
    assert.equal(identify(bytes, 5), 1234);
    assert.equal(identify(bytes, 6), GARBAGE);
    const other = new Uint8Array(blockSize);
    stamp(other, 5, 1235);
    bytes.set(other.subarray(blockSize / 2), blockSize / 2);
    assert.equal(identify(bytes, 5), GARBAGE);
    stamp(bytes, 5, ZEROES);
    assert.equal(identify(bytes, 5), ZEROES);
  });
}
