import { strict as assert } from "node:assert";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { placeSpec } from "./place.ts";

const VOLATILE = fileURLToPath(new URL("../../examples/volatile.ts", import.meta.url));

function freshFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "skink-place-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function optionsOf(spec: ReturnType<typeof placeSpec>): Record<string, string> {
  assert.equal(spec.source.type, "module");
  return spec.source.type === "module" ? spec.source.options : {};
}

test("a file is replaced by a sparse one of the trial's own, of the size that was given", (t) => {
  const folder = freshFolder(t);
  const mine = join(folder, "mine");
  writeFileSync(mine, "precious");
  const options = optionsOf(placeSpec(`file:${mine}?size=3M`, folder));
  assert.deepEqual(options, { path: join(folder, "disk"), size: "3M" });
  assert.equal(statSync(join(folder, "disk")).size, 3 << 20);
  assert.equal(statSync(mine).size, 8);
});

test("a file without a size has room for a load", (t) => {
  const folder = freshFolder(t);
  placeSpec("file:{disk}", folder);
  assert.equal(statSync(join(folder, "disk")).size, 8 << 20);
});

test("memory needs nothing", (t) => {
  const folder = freshFolder(t);
  assert.deepEqual(optionsOf(placeSpec("memory:8M", folder)), { size: "8M" });
  assert.deepEqual(readdirSync(folder), []);
});

test("places in values are filled, the same disk in each", (t) => {
  const folder = freshFolder(t);
  const spec = placeSpec(`${VOLATILE}?size=8M&path={disk}&log={dir}/log&again={disk}`, folder);
  const disk = join(folder, "disk");
  assert.deepEqual(optionsOf(spec), { size: "8M", path: disk, log: join(folder, "dir", "log"), again: disk });
  assert.deepEqual(readdirSync(folder).sort(), ["dir", "disk"]);
});

test("places in commands are filled, and the server's own is left", (t) => {
  const folder = freshFolder(t);
  const { source } = placeSpec("exec:nbdkit -f -U {socket} file {disk}", folder);
  const command = source.type === "command" ? source.command : undefined;
  assert.equal(command, `nbdkit -f -U {socket} file ${join(folder, "disk")}`);
});

test("a server that somebody else runs is refused", (t) => {
  assert.throws(() => placeSpec("nbd://localhost/disk", freshFolder(t)), /somebody else runs/);
});
