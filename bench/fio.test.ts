import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFio } from "./fio.ts";

const idle = { total_ios: 0, iops: 0, bw_bytes: 0, clat_ns: {} };

function report(job: object): string {
  return `fio: connected to NBD server\n${JSON.stringify({ jobs: [job] }, undefined, 2)}\n`;
}

test("a report is found behind fio's messages, and its latencies are those of the writes", () => {
  const write = {
    total_ios: 200,
    iops: 100,
    bw_bytes: 409_600,
    clat_ns: { percentile: { "50.000000": 12_000, "99.000000": 90_000 } },
  };
  const sync = { total_ios: 50, lat_ns: { percentile: { "50.000000": 150_000, "99.000000": 700_000 } } };
  const result = parseFio(report({ error: 0, read: idle, write, sync }));
  const ofWrites = { ios: 200, iops: 100, bytesPerSecond: 409_600, p50Us: 12, p99Us: 90 };
  assert.deepEqual(result, { ...ofWrites, flushP50Us: 150, flushP99Us: 700 });
});

test("an error that fio saw is not taken for a result", () => {
  assert.throws(() => parseFio(report({ error: 5, read: idle, write: idle })), { code: "load-failed" });
});

test("no report at all is said in one line", () => {
  assert.throws(() => parseFio("fio: cannot connect\n"), { code: "no-report" });
});
