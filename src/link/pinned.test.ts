import assert from "node:assert/strict";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { DriverRef } from "../shadow/ports.ts";
import { MAX_CODE_BYTES } from "./control.ts";
import { onStage, Stage } from "./testing/stage.ts";

const LIMIT = { timeout: 20_000 };
const LOADED = /^loaded by (\d+)$/;
const BROKEN = "export default {{";
const EPOCHS = [1, 2, 3, 4];

/** A driver whose identity is another module's. It says when it is loaded. */
const importing = (part: string): string => `
  import { name } from "./${part}";
  console.log("loaded by " + process.pid);
  export default { open: () => ({ size: 4096, identity: name, read() {} }) };
`;
const naming = (name: string): string => `export const name = "${name}";`;

const prepared = (stage: Stage, driver: DriverRef): Promise<string | undefined> =>
  new Promise((resolve) => stage.incarnations.prepare(driver, resolve));

/** Ends an incarnation and starts the next one; resolves with what that says that it is. */
async function next(stage: Stage, epoch: number, driver: DriverRef = stage.driver): Promise<string | undefined> {
  stage.incarnations.kill(epoch - 1);
  await stage.recorder.seen("exited", epoch - 1);
  stage.incarnations.start(epoch, driver);
  const failed = stage.recorder.seen("openFailed", epoch).then(({ message }) => Promise.reject(new Error(message)));
  return (await Promise.race([stage.recorder.seen("opened", epoch), failed])).info.identity;
}

function claim(name: string, stage: () => Stage, body: (stage: Stage) => Promise<void>): void {
  test(name, LIMIT, () =>
    onStage(stage(), async (stage) => {
      try {
        await body(stage);
      } finally {
        for (const epoch of EPOCHS) stage.incarnations.kill(epoch);
      }
    }),
  );
}

for (const [language, file, part] of [
  ["TypeScript", "driver.ts", "part.ts"],
  ["JavaScript", "driver.mjs", "part.js"],
] as const) {
  const make = () => new Stage("process", importing(part), {}, file);
  const edit = (stage: Stage, text: string) => writeFileSync(join(stage.folder, part), text);

  claim(
    `a driver in ${language} that is to be replaced stays what it was, whatever is on disk`,
    make,
    async (stage) => {
      edit(stage, naming("first"));
      await stage.open(1);
      edit(stage, naming("second"));
      assert.equal(await prepared(stage, { kind: "newcomer" }), undefined);
      assert.equal(await next(stage, 2), "first");
      writeFileSync(stage.path, BROKEN);
      assert.equal(await next(stage, 3), "first");
      rmSync(join(stage.folder, part));
      rmSync(stage.path);
      assert.equal(await next(stage, 4), "first");
    },
  );

  claim(`a driver in ${language} that nobody is to replace is what is on disk`, make, async (stage) => {
    edit(stage, naming("first"));
    await stage.open(1);
    edit(stage, naming("second"));
    assert.equal(await next(stage, 2), "second");
  });

  claim(`a newcomer in ${language} is what is on disk, at the same path too`, make, async (stage) => {
    edit(stage, naming("first"));
    await stage.open(1);
    edit(stage, naming("second"));
    const newcomer = { kind: "newcomer" };
    assert.equal(await prepared(stage, newcomer), undefined);
    assert.equal(await next(stage, 2, newcomer), "second");
    assert.equal(await next(stage, 3), "first");
    writeFileSync(stage.path, BROKEN);
    assert.match((await prepared(stage, { kind: "another" })) ?? "", /loading it failed/);
    assert.equal(await next(stage, 4), "first");
  });
}

claim(
  "a driver that is reached by a link stays what it was, wherever the link leads now",
  () => new Stage("process", ""),
  async (stage) => {
    const lead = (to: string) => {
      rmSync(stage.path);
      symlinkSync(join(to, "driver.ts"), stage.path);
    };
    for (const version of ["first", "second"]) {
      mkdirSync(join(stage.folder, version));
      writeFileSync(join(stage.folder, version, "driver.ts"), importing("part.ts"));
      writeFileSync(join(stage.folder, version, "part.ts"), naming(version));
    }
    lead("first");
    await stage.open(1);
    lead("second");
    const newcomer = { kind: "newcomer" };
    assert.equal(await prepared(stage, newcomer), undefined);
    assert.equal(await next(stage, 2, newcomer), "second");
    assert.equal(await next(stage, 3), "first");
  },
);

claim(
  "code that is too much to be left is loaded from disk, and no older one",
  () => new Stage("process", importing("part.ts")),
  async (stage) => {
    const part = join(stage.folder, "part.ts");
    writeFileSync(part, naming("first"));
    await stage.open(1);
    writeFileSync(part, `${naming("second")} /* ${"-".repeat(MAX_CODE_BYTES)} */`);
    assert.equal(await next(stage, 2), "second");
    assert.equal(await prepared(stage, { kind: "newcomer" }), undefined);
    assert.equal(await next(stage, 3), "second");
  },
);

claim(
  "when a newcomer is refused, the standby is one of the driver as it runs",
  () => new Stage("process", importing("part.ts"), {}, "driver.ts", { standby: true }),
  async (stage) => {
    const part = join(stage.folder, "part.ts");
    writeFileSync(part, naming("first"));
    const first = stage.printed(LOADED);
    await stage.open(1);
    await first;
    const before = await stage.printed(LOADED);
    writeFileSync(part, "throw new Error('boom');");
    const renewed = stage.printed(LOADED);
    assert.match((await prepared(stage, { kind: "newcomer" })) ?? "", /loading it failed/);
    const [, standby] = await renewed;
    assert.notEqual(standby, before[1]);
    assert.equal(await next(stage, 2), "first");
    assert.equal(stage.incarnations.pid(2), Number(standby));
  },
);
