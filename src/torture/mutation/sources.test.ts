import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { sourcesOf } from "./sources.ts";

const ROOT = new URL("../../../", import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), "skink-sources-"));
after(() => rmSync(folder, { recursive: true }));

for (const [driver, ...expected] of [
  ["src/drivers/memory.ts", "src/drivers/memory.ts"],
  [
    "src/drivers/file/file.ts",
    "src/drivers/file/file.ts",
    "src/drivers/file/holes.ts",
    "src/drivers/file/store.ts",
    "src/drivers/file/transfer.ts",
  ],
  ["examples/volatile.ts", "examples/volatile.ts"],
] as const) {
  test(`the source of ${driver} is its own files, and not what it stands on`, () => {
    assert.deepEqual(
      sourcesOf(`${ROOT}${driver}`).map(({ url }) => url.replace(ROOT, "")),
      expected,
    );
  });
}

test("what a driver imports at once, later, or as a thread is its source", () => {
  const urls = sourcesIn({
    "driver.ts": `import { a } from "./lib/a.ts"; export * from "./b.ts"; export { c } from "./c.mjs"; await import("./d.ts");
new Worker(new URL("./e.ts", import.meta.url)); new Worker(new URL(\`./f\${extname(import.meta.url)}\`, import.meta.url));`,
    "lib/a.ts": 'import "../b.ts"; import "../driver.ts"; import "./g.ts";',
    "b.ts": "export const b = 1;",
    "c.mjs": "export const c = 1;",
    "d.ts": "",
    "e.ts": "",
    "f.ts": "",
    "lib/g.ts": "",
  });
  assert.deepEqual(urls, ["driver.ts", "lib/a.ts", "b.ts", "c.mjs", "d.ts", "e.ts", "f.ts", "lib/g.ts"]);
});

test("packages, types, data and files that are not there are no source of a driver", () => {
  const urls = sourcesIn({
    "driver.ts": `import "skink/driver"; import "./node_modules/x/x.js"; import type { T } from "./types.ts";
import data from "./data.json" with { type: "json" }; new URL("./disk.img", import.meta.url); import("./missing.ts"); import(name);`,
    "node_modules/x/x.js": "",
    "types.ts": "export type T = 1;",
    "data.json": "{}",
    "disk.img": "",
  });
  assert.deepEqual(urls, ["driver.ts"]);
});

test("an entry that is not there is the system's error", () => {
  assert.throws(() => sourcesOf(pathToFileURL(join(folder, "nothing.ts")).href), { code: "ENOENT" });
});

test("that stripping types is experimental is not said, and other warnings are", () => {
  const code = `import { sourcesOf } from ${JSON.stringify(new URL("./sources.ts", import.meta.url).href)};
sourcesOf(${JSON.stringify(`${ROOT}examples/tiny.ts`)}); process.emitWarning("of another kind");`;
  const { stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
  assert.match(stderr, /Warning: of another kind/);
  assert.doesNotMatch(stderr, /ExperimentalWarning/);
});

let folders = 0;
function sourcesIn(files: Readonly<Record<string, string>>): string[] {
  const base = join(folder, `${folders++}`);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(base, path)), { recursive: true });
    writeFileSync(join(base, path), text);
  }
  const url = `${pathToFileURL(base).href}/`;
  return sourcesOf(`${url}driver.ts`).map((source) => source.url.replace(url, ""));
}
