import { strict as assert } from "node:assert";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseSpec } from "../front/spec.ts";
import { versionsOf } from "./versions.ts";

const NAMES = ["my-server", "nbdkit", "qemu-nbd"];
const SPEC = parseSpec("exec:my-server -U {socket}");
const OWN = ["skink", "node"];

/** Programs of these names that say their version, and are found before all others. */
function inPath(t: TestContext): void {
  const folder = mkdtempSync(join(tmpdir(), "skink-versions-"));
  const { PATH = "" } = process.env;
  process.env.PATH = `${folder}${delimiter}${PATH}`;
  t.after(() => {
    process.env.PATH = PATH;
    rmSync(folder, { recursive: true });
  });
  for (const name of NAMES) {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\necho "${name} 1.2.3"\necho more\n`);
    chmodSync(path, 0o700);
  }
}

test("a server that stands alone is named with its version, and so is who reconnects to it", (t) => {
  inPath(t);
  for (const [recovery, relay] of [
    ["client", []],
    ["nbdkit-retry", ["nbdkit"]],
    ["qemu-reconnect", ["qemu-nbd"]],
  ] as const) {
    const { skink, node, ...others } = versionsOf(SPEC, { shadow: false, recovery });
    assert.ok(skink !== undefined && node === process.versions.node);
    assert.deepEqual(others, Object.fromEntries(["my-server", ...relay].map((name) => [name, "1.2.3"])));
  }
});

test("behind Skink nobody else reconnects, and what isn't there isn't named", (t) => {
  inPath(t);
  const options = { shadow: true, recovery: undefined };
  assert.deepEqual(Object.keys(versionsOf(SPEC, options)), [...OWN, "my-server"]);
  assert.deepEqual(Object.keys(versionsOf(parseSpec("exec:no-such-server {socket}"), options)), OWN);
  assert.deepEqual(Object.keys(versionsOf(parseSpec("memory:8M"), options)), OWN);
});
