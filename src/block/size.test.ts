import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSize, parseSize } from "./size.ts";

test("sizes are powers of 1024, in either case", () => {
  assert.equal(parseSize("512"), 512);
  assert.equal(parseSize("4k"), 4096);
  assert.equal(parseSize("256M"), 256 << 20);
  assert.equal(parseSize("10G"), 10 * 2 ** 30);
  assert.equal(parseSize("2T"), 2 * 2 ** 40);
  assert.equal(parseSize("8192T"), 2 ** 53);
});

test("what is no size is named in one line", () => {
  for (const text of ["", "M", "12Q", "1.5G", "-1", "1 G", "0x10", "8193T"]) {
    assert.throws(() => parseSize(text), { code: "bad-size", message: /^Cannot read the size "[^\n]*wanted$/ }, text);
  }
});

test("a size is said in its largest whole unit", () => {
  for (const text of ["0", "1000", "4K", "256M", "3G", "2048T"]) assert.equal(formatSize(parseSize(text)), text);
});
