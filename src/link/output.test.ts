import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverOutput } from "./output.ts";

function collect(): { lines: string[]; output: DriverOutput; clock: { now: number } } {
  const lines: string[] = [];
  const clock = { now: 0 };
  return {
    lines,
    clock,
    output: new DriverOutput(
      (line) => lines.push(line),
      () => clock.now,
    ),
  };
}

test("lines come out whole, wherever the chunks are cut", () => {
  const text = Buffer.from("one\ntwo zwölf\n\nthree");
  for (let cut = 0; cut <= text.length; cut++) {
    const { lines, output } = collect();
    const stream = output.stream();
    stream.push(text.subarray(0, cut));
    stream.push(text.subarray(cut));
    stream.end();
    assert.deepEqual(lines, ["one", "two zwölf", "three"]);
  }
});

test("an endless line is cut, and its rest is kept nowhere", () => {
  const { lines, output } = collect();
  const stream = output.stream();
  for (let i = 0; i < 1000; i++) stream.push(Buffer.alloc(4096, "x"));
  stream.push(Buffer.from("\nnext\n"));
  assert.equal(lines[0]?.length, 1025);
  assert.equal(lines[1], "next");
});

test("a flood of lines is cut, and what is left out is counted", () => {
  const { lines, output, clock } = collect();
  const stream = output.stream();
  for (let i = 0; i < 10_000; i++) stream.push(Buffer.from("noise\n"));
  assert.equal(lines.length, 200);
  clock.now += 1000;
  stream.push(Buffer.from("later\n"));
  assert.deepEqual(lines.slice(200), ["… 9800 more lines were left out", "later"]);
});

test("control characters do not reach the log", () => {
  const { lines, output } = collect();
  output.stream().push(Buffer.from("\u001b[31mred\u0007\tx\r\n"));
  assert.deepEqual(lines, ["[31mred\tx"]);
});
