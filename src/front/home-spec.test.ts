import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseHome } from "./home-spec.ts";

test("a home is memory, shm, or a log on disk, whose path starts at the folder of who names it", () => {
  assert.deepEqual(parseHome("memory"), { kind: "memory" });
  assert.deepEqual(parseHome("shm"), { kind: "shm" });
  assert.deepEqual(parseHome("disk:a.log", "/srv"), { kind: "disk", path: "/srv/a.log", bytes: undefined });
  assert.deepEqual(parseHome("disk:/a:b.log?size=64M", "/srv"), { kind: "disk", path: "/a:b.log", bytes: 64 << 20 });
});

test("a home that is none is told in one line, with what was wanted", () => {
  const cases: [string, RegExp][] = [
    ["", /"": there is no such home, memory, shm or disk:PATH was wanted$/],
    ["dsik:x", /was disk meant\?$/],
    ["shm:x", /shm takes nothing, shm alone was wanted$/],
    ["disk", /its path is missing, disk:PATH was wanted$/],
    ["disk:", /its path is missing/],
    ["disk:?size=1M", /its path is missing/],
    ["disk:x?bytes=1M", /it has bytes=1M, size=BYTES was wanted$/],
    ["disk:x?size=much", /its size is "much", a size such as 256M was wanted$/],
  ];
  for (const [text, message] of cases) assert.throws(() => parseHome(text), { code: "bad-home", message });
});
