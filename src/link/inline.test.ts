import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { InlineIncarnations } from "./inline.ts";
import { createHeapArenas } from "./shared-arenas.ts";
import { linkCompliance } from "./testing/compliance.ts";
import { moduleCompliance } from "./testing/module-compliance.ts";
import { Recorder } from "./testing/recorder.ts";

linkCompliance("inline");
moduleCompliance("inline");

test("a driver that is made ready is loaded and not opened", () =>
  withDrivers(
    { quiet: `export default { open() { throw new Error("opened"); } };` },
    async (incarnations, recorder) => {
      assert.equal(await prepared(incarnations, "quiet"), undefined);
      assert.deepEqual(recorder.events, []);
    },
  ));

test("a driver that can't be made ready says why, in one line", () =>
  withDrivers({ broken: "throw new TypeError('boom')" }, async (incarnations, recorder) => {
    const failure = await prepared(incarnations, "broken");
    assert.match(failure ?? "", /^Cannot open driver broken\.ts: loading it failed: TypeError: boom[^\n]*$/);
    assert.deepEqual(recorder.events, []);
  }));

test("each incarnation runs the driver that it is started with, and what is kept is the device's", () => {
  const driver = (adds: number) => `
    export default { open(options, { keep }) {
      const memory = keep("blocks", 4096);
      memory[0] += ${adds};
      return { size: 4096, identity: "sum " + memory[0], read() {} };
    } };`;
  return withDrivers({ one: driver(1), ten: driver(10) }, async (incarnations, recorder) => {
    const identities = [];
    for (const [index, kind] of ["one", "ten", "one"].entries()) {
      incarnations.start(index + 1, { kind });
      identities.push((await recorder.seen("opened", index + 1)).info.identity);
      incarnations.kill(index + 1);
      await recorder.seen("exited", index + 1);
    }
    assert.deepEqual(identities, ["sum 1", "sum 11", "sum 12"]);
  });
});

function prepared(incarnations: InlineIncarnations, kind: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    incarnations.prepare({ kind }, resolve);
  });
}

/** `texts`: the sources of driver modules, by their kinds. */
async function withDrivers(
  texts: Record<string, string>,
  body: (incarnations: InlineIncarnations, recorder: Recorder) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "skink-link-"));
  for (const [kind, text] of Object.entries(texts)) writeFileSync(join(folder, `${kind}.ts`), text);
  const recorder = new Recorder();
  const incarnations = new InlineIncarnations({
    sourceOf: ({ kind }) => ({ module: pathToFileURL(join(folder, `${kind}.ts`)).href, options: {} }),
    memory: createHeapArenas({ writeBytes: 0, readBytes: 0 }),
    events: recorder,
    output: () => {},
  });
  try {
    await body(incarnations, recorder);
  } finally {
    incarnations.dispose();
    rmSync(folder, { recursive: true });
  }
}
