import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { LineReader } from "./lines.ts";

test("lines come out whole however their bytes are split, in memory that is used again", () => {
  const lines = fc.array(fc.string({ maxLength: 20 }).map((line) => line.replaceAll("\n", "")));
  fc.assert(
    fc.property(lines, fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (wanted, sizes) => {
      const bytes = Buffer.from(wanted.map((line) => `${line}\n`).join(""));
      const reader = new LineReader(1000);
      const chunk = Buffer.alloc(7);
      const found: string[] = [];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = sizes[turn % sizes.length] ?? 1;
        const count = bytes.copy(chunk, 0, at, at + size);
        found.push(...(reader.push(chunk.subarray(0, count)) ?? []));
        at += size;
      }
      // Half a surrogate pair does not survive UTF-8.
      assert.deepEqual(found, Buffer.from(wanted.join("\n")).toString("utf8").split("\n").slice(0, wanted.length));
    }),
  );
});

test("a line that is longer than allowed ends the reading, complete or not", () => {
  assert.equal(new LineReader(3).push(Buffer.from("four\n")), undefined);
  assert.equal(new LineReader(3).push(Buffer.from("four")), undefined);
  assert.deepEqual(new LineReader(4).push(Buffer.from("four\n")), ["four"]);
  const reader = new LineReader(8);
  assert.deepEqual(reader.push(Buffer.from("12345678")), []);
  assert.equal(reader.push(Buffer.from("9")), undefined);
});
