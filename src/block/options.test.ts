import assert from "node:assert/strict";
import { test } from "node:test";
import { blockSize, deviceSize, durationUs, flag, optional, optionsFor, required, text } from "./options.ts";

const options = optionsFor("trial", {
  size: required(deviceSize),
  block: optional(blockSize, 512),
  latency: optional(durationUs, 0),
  fast: optional(flag, false),
  path: optional(text, undefined),
});

test("options are read, and have a value when they are left out", () => {
  assert.deepEqual(options.parse({ size: "1M" }), {
    size: 1 << 20,
    block: 512,
    latency: 0,
    fast: false,
    path: undefined,
  });
  assert.deepEqual(options.parse({ size: "2K", block: "4K", latency: "5ms", fast: "", path: "x" }), {
    size: 2048,
    block: 4096,
    latency: 5000,
    fast: true,
    path: "x",
  });
});

test("a bad option is named in one line, with what was wanted", () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{}, /option size: it is missing/],
    [{ size: "" }, /option size: it is missing/],
    [{ size: "12Q" }, /option size: Cannot read the size "12Q"/],
    [{ size: "0" }, /option size: 0 is too small/],
    [{ siez: "1M" }, /there is no option "siez", was size meant\?/],
    [{ size: "1M", colour: "red" }, /one of size, block, latency, fast, path was wanted/],
    [{ size: "1M", block: "1000" }, /a power of two from 512 to 65536/],
    [{ size: "1M", latency: "5" }, /100us, 5ms or 1s/],
    [{ size: "1M", fast: "maybe" }, /true or false/],
  ];
  for (const [raw, expected] of cases) {
    assert.throws(
      () => options.parse(raw),
      (error: Error & { code: string }) => {
        assert.equal(error.code, "bad-option");
        assert.match(error.message, /^Cannot open the trial driver: [^\n]*$/);
        assert.match(error.message, expected);
        return true;
      },
    );
  }
});
