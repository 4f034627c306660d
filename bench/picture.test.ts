import assert from "node:assert/strict";
import { test } from "node:test";
import { CASES, type Entry } from "./cases.ts";
import { drawComparison } from "./picture.ts";

const summary = {
  iops: 72_300,
  mibPerSecond: 282,
  p50Us: 100,
  p99Us: 300,
  cpuUsPerIo: 9,
  rounds: 5,
  minIops: 70_000,
  maxIops: 75_000,
};

test("the picture has a labelled bar for each server and case", () => {
  const entries = CASES.flatMap(({ id }): Entry[] => [
    { kind: "memory", case: id, server: "Skink", ratio: 1.25, summary },
    { kind: "memory", case: id, server: "nbdkit", ratio: 1, summary },
    { kind: "file", case: id, server: "qemu-nbd", ratio: 0.5, summary },
  ]);
  const picture = drawComparison(entries);
  assert.equal(picture.match(/height="15"/g)?.length, entries.length);
  assert.match(picture, />72,300 IOPS · 1\.25</);
  assert.match(picture, />282 MiB\/s · 0\.50</);
});

test("a server that nothing is compared with is drawn without a ratio", () => {
  const picture = drawComparison([{ kind: "memory", case: "4k-randread-qd1", server: "Skink", summary }]);
  assert.match(picture, />72,300 IOPS</);
  assert.doesNotMatch(picture, /NaN|undefined|Infinity/);
});
