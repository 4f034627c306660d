import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { replayCommand } from "./replay.ts";
import { campaign } from "./testing.ts";

test("the command names everything that a trial is drawn from", () => {
  const { options } = campaign([], { tiers: ["wire"], persistence: "persistent", verify: "digests" });
  assert.equal(
    replayCommand(options, 12),
    "skink torture memory:8M --seed 7 --tier wire --persistence persistent --verify digests --load-ms 250 --only 12",
  );
});

test("the command of a target that stands alone says who reconnects", () => {
  const { options } = campaign([], { shadow: false, recovery: "nbdkit-retry" });
  const wanted = "--tier code,wire,process --no-shadow --recovery nbdkit-retry --load-ms 250 --only 0";
  assert.equal(replayCommand(options, 0), `skink torture memory:8M --seed 7 ${wanted}`);
});

test("a shell reads the spec back as it was, whatever is in it", () => {
  const specs = ["exec:nbdkit -f -U {socket} file 'my disk'", "a'b\"c$(id)`id`\\ &;*?!\n#", "'", "''x''"];
  for (const spec of specs) {
    const command = replayCommand(campaign([], { spec }).options, 1);
    const words = execFileSync("sh", ["-c", `skink() { printf '%s\\0' "$@"; }; ${command}`], { encoding: "utf8" });
    assert.equal(words.split("\0")[1], spec);
  }
});
