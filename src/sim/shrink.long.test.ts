import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MUTATIONS } from "./mutations.ts";
import { withPlanted } from "./planting.ts";
import { requestsOf, type WorldScript } from "./world-script.ts";

const SEEDS = 1000;
/** What is left of a world with a hundred requests or more. */
const HANDFUL = 6;

for (const name of [
  "a piece is forgotten on a restart",
  "older pieces are not cut",
  "a flush is believed although a FUA write failed while it was in flight",
  "those who wait for room are not called when a flush has made some",
]) {
  test(`what shows that ${name} is shrunk to ${HANDFUL} requests at most, the same each time, and breaks again`, async () => {
    const mutation = MUTATIONS.find((one) => one.name === name);
    assert(mutation !== undefined);
    await withPlanted(mutation, async ({ folder, simulate }) => {
      const found = await simulate("--seeds", String(SEEDS));
      const seed = /^seed (\d+) broke/m.exec(found.output)?.[1];
      assert(seed !== undefined, found.output);
      const files = [join(folder, "one.json"), join(folder, "two.json")] as const;
      for (const file of files) assert.equal((await simulate("--shrink", seed, "--out", file)).code, 1);
      const [one, two] = await Promise.all(files.map((file) => readFile(file, "utf8")));
      assert.equal(one, two);
      const requests = requestsOf(JSON.parse(one as string) as WorldScript);
      assert.ok(requests <= HANDFUL, `${requests} requests are left`);
      const again = await simulate("--script", files[0]);
      assert.equal(again.code, 1, again.output);
      assert.match(again.output, /client 1/);
    });
  });
}
