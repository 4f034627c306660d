import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Progress, type ProgressOptions } from "./progress.ts";

test("on a terminal the line is written over, is no wider than that, and can be taken away once", () => {
  const { progress, written } = fixture({ isTTY: true, columns: 5 });
  progress.say("one");
  progress.say("four and more");
  progress.clear();
  progress.clear();
  assert.deepEqual(written, ["\r\x1b[Kone", "\r\x1b[Kfour", "\r\x1b[K"]);
});

test("of what is said often a terminal gets what has its time", () => {
  const { progress, written } = fixture({ isTTY: true, columns: 80 }, { isOften: true });
  for (let count = 0; count < 10; count++) progress.say(`${count}`);
  assert.deepEqual(written, ["\r\x1b[K0"]);
});

test("a log gets whole lines, few of them, and nothing that is for terminals", () => {
  const { progress, written } = fixture({});
  progress.say("a".repeat(100));
  progress.say("too soon");
  progress.clear();
  assert.deepEqual(written, [`${"a".repeat(100)}\n`]);
  const silent = fixture({}, { isForTerminals: true });
  silent.progress.say("nobody watches");
  assert.deepEqual(silent.written, []);
});

function fixture(stream: Partial<NodeJS.WriteStream>, options: ProgressOptions = {}) {
  const written: string[] = [];
  const out = { ...stream, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream;
  return { progress: new Progress({ ...options, out }), written };
}
