import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Framer, type Parser } from "./framer.ts";

test("pieces are the same wherever the stream is split, empty ones too", () => {
  const stream = Buffer.from([2, 10, 11, 0, 3, 20, 21, 22]);
  for (let first = 0; first <= stream.length; first++) {
    for (let second = first; second <= stream.length; second++) {
      const pieces: string[] = [];
      const framer = new Framer(counted(pieces));
      for (const part of [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)])
        framer.push(part);
      assert.deepEqual(pieces, ["10,11", "", "20,21,22"], `split at ${first} and ${second}`);
    }
  }
});

test("a piece is the parser's own", () => {
  const stream = Buffer.from([1, 7]);
  new Framer(
    (function* (): Parser {
      yield 1;
      (yield 1)[0] = 0;
    })(),
  ).push(stream);
  assert.deepEqual([...stream], [1, 7]);
});

/** Pieces with their lengths before them. */
function* counted(into: string[]): Parser {
  for (;;) {
    const [length = 0] = yield 1;
    into.push([...(yield length)].join());
  }
}
