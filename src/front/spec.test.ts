import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseSpec, specOf } from "./spec.ts";

const folder = mkdtempSync(join(tmpdir(), "skink-spec-"));
after(() => rmSync(folder, { recursive: true }));
for (const name of ["my-driver.ts", "other driver.mjs"]) writeFileSync(join(folder, name), "");

function optionsOf(text: string): Record<string, string> {
  const { source } = parseSpec(text, folder);
  assert(source.type === "module");
  return source.options;
}

test("built-in drivers take their size or path before the question mark", () => {
  assert.deepEqual(optionsOf("memory:256M"), { size: "256M" });
  assert.deepEqual(optionsOf("null:1G?latency=5ms&memory"), { size: "1G", latency: "5ms", memory: "" });
  assert.deepEqual(optionsOf("file:disk.img?size=10G"), { path: join(folder, "disk.img"), size: "10G" });
  assert.deepEqual(optionsOf("file:/srv/a%3Fb.img"), { path: "/srv/a?b.img" });
  assert.deepEqual(optionsOf("file:///srv/disk%20a.img"), { path: "/srv/disk a.img" });
  assert.deepEqual(optionsOf("memory:?size=1M"), { size: "1M" });
});

test("built-in drivers are found beside the running sources", () => {
  for (const kind of ["memory", "null", "file"]) {
    const spec = parseSpec(`${kind}:1M`);
    assert.equal(spec.kind, kind);
    assert(spec.source.type === "module");
    assert.ok(existsSync(fileURLToPath(spec.source.module)), spec.source.module);
  }
});

test("a module is found by relative path, absolute path and URL", () => {
  const module = pathToFileURL(join(folder, "my-driver.ts")).href;
  for (const text of ["./my-driver.ts", "my-driver.ts", join(folder, "my-driver.ts"), module]) {
    assert.deepEqual(parseSpec(`${text}?a=1`, folder), {
      kind: "my-driver.ts",
      source: { type: "module", module, options: { a: "1" } },
    });
  }
  assert.equal(parseSpec("./other%20driver.mjs", folder).kind, "other driver.mjs");
});

test("option values are percent-decoded", () => {
  assert.deepEqual(optionsOf("./my-driver.ts?path=a%26b%3D&empty=&plus=a+b&eq=a=b"), {
    path: "a&b=",
    empty: "",
    plus: "a+b",
    eq: "a=b",
  });
  assert.equal(Object.getOwnPropertyDescriptor(optionsOf("./my-driver.ts?__proto__=x"), "__proto__")?.value, "x");
});

test("what can't be served is said in one line, with the mend", () => {
  const cases: [string, RegExp][] = [
    ["", /it is empty/],
    ["memory", /was memory:SIZE meant\?/],
    ["memroy:1M", /there is no driver memroy, was memory: meant\?/],
    ["tape:1M", /there is no driver tape, memory:SIZE, .* or exec:COMMAND was wanted/],
    ["disk.img", /it names no driver/],
    ["nbd+unix:///x", /it names no socket/],
    ["nbd://", /it names no host/],
    ["nbd://host/?connections=0", /option connections: it is "0", a number from 1 to 16 was wanted/],
    ["nbd://host/?settle=1&settle=2", /it has settle twice/],
    ["nbd://host/?settle=soon", /a time such as/],
    ["exec:nbdkit -f file disk.img", /it has no \{socket\}/],
    ["exec:", /option command: it is missing/],
    ["./missing.ts", /there is no file .*missing\.ts/],
    [`${folder}?x.ts`, /names no driver/],
    ["memory:1M?block=1&block=2", /option block is given twice/],
    ["memory:", /size is missing, memory:SIZE was wanted/],
    ["file:?size=1M", /path is missing, file:PATH was wanted/],
    ["memory:1M?size=2M", /size is given twice/],
    ["memory:1M?=2", /has no name/],
    ["file:100%.img", /%25/],
    ["file:a%00b", /zero byte/],
    ["file://host/x", /no URL of a file here/],
  ];
  for (const [text, expected] of cases) {
    assert.throws(
      () => parseSpec(text, folder),
      (error: Error & { code: string }) => {
        assert.equal(error.code, "bad-spec");
        assert.match(error.message, expected);
        assert.match(error.message, /^Cannot serve "[^\n]*$/);
        return true;
      },
      text,
    );
  }
});

test("the long form says the same as the short one", () => {
  assert.deepEqual(specOf("file", { path: "a.img", size: "1M" }, folder), parseSpec("file:a.img?size=1M", folder));
  assert.deepEqual(specOf("./my-driver.ts", { a: "1" }, folder), parseSpec("./my-driver.ts?a=1", folder));
  assert.throws(() => specOf("memry", {}, folder), { code: "bad-spec" });
});
