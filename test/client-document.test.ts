/** docs/client.md: its examples run as they are, and its table of errors is whole. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { realClock } from "../src/front/clock.ts";
import { NBD_ERROR_CODES } from "../src/nbd/index.ts";
import { NbdServer } from "../src/nbd/server/server.ts";
import { FakeDevice, oneExport } from "../src/nbd/server/testing.ts";
import { inScene } from "./scene.ts";

const page = readFileSync(new URL("../docs/client.md", import.meta.url), "utf8");
const examples = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1] as string);
const DISK_BYTES = 1 << 20;

test("there are examples", () => assert.ok(examples.length >= 5));

for (const [index, example] of examples.entries()) {
  const first = example.split("\n").find((line) => line.startsWith("const ") || line.startsWith("await ")) ?? "";
  test(`example ${index + 1} runs: ${first}`, () =>
    inScene(async (scene) => {
      const exports = oneExport(new FakeDevice({ size: DISK_BYTES }));
      const server = new NbdServer({ exports, clock: realClock, hungUp: () => false });
      scene.defer(() => server.close(0));
      const address = await server.listen({ host: "127.0.0.1", port: 0 });
      assert.ok("port" in address);
      scene.write("disk.img", new Uint8Array(DISK_BYTES).fill(7));
      // The package by the name that its users know, and the server where it listens this time.
      const code = example
        .replaceAll('"skink/nbd"', JSON.stringify(import.meta.resolve("skink/nbd")))
        .replaceAll("nbd://localhost", `nbd://127.0.0.1:${address.port}`)
        .replaceAll('{ host: "localhost", port: 10809 }', JSON.stringify(address));
      await scene.need(process.execPath, [scene.write("example.mts", code)]);
    }));
}

test("the table of errors has all codes, each once", () => {
  const table = page.slice(page.indexOf("## Errors"));
  const codes = [...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]);
  assert.deepEqual(codes, [...NBD_ERROR_CODES]);
});
