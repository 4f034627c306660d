import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import tiny from "../../examples/tiny.ts";
import volatile from "../../examples/volatile.ts";
import { testDriver } from "./compliance.ts";
import file from "./file/file.ts";
import memory from "./memory.ts";
import none from "./null/null.ts";

const ALL = ["extents", "trim", "zero"] as const;

testDriver({ name: "memory", driver: memory, options: () => ({ size: "8M" }), outlives: "flushed" });
testDriver({
  name: "memory (4 KiB blocks)",
  driver: memory,
  options: () => ({ size: "4133K", block: "4K" }),
  outlives: "flushed",
});
testDriver({
  name: "null (in memory)",
  driver: none,
  lacks: ["extents"],
  options: () => ({ size: "8M", memory: "true" }),
  outlives: "nothing",
});
testDriver({
  name: "null (in memory, each call for another time)",
  driver: none,
  lacks: ["extents"],
  options: () => ({ size: "8M", memory: "true", latency: "exponential:50us", depth: "16" }),
  outlives: "nothing",
});
testDriver({ name: "file", driver: file, options: (t) => ({ path: newPath(t), size: "8M" }), outlives: "flushed" });
testDriver({
  name: "file (64 KiB blocks, found)",
  driver: file,
  options(t) {
    const path = newPath(t);
    writeFileSync(path, new Uint8Array((5 << 20) + 1000));
    return { path, block: "64K" };
  },
  outlives: "flushed",
});
testDriver({ name: "volatile", driver: volatile, lacks: ALL, options: () => ({ size: "8M" }), outlives: "flushed" });
testDriver({
  name: "volatile (in a file)",
  driver: volatile,
  lacks: ALL,
  options: (t) => ({ path: newPath(t), size: "8M" }),
  outlives: "flushed",
});
testDriver({ name: "tiny", driver: tiny, lacks: ALL, options: () => ({}), outlives: "flushed" });

function newPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "skink-driver-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "disk.img");
}
