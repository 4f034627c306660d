import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import type { DriverRef } from "../shadow/ports.ts";
import { ProcessIncarnations } from "./process.ts";
import { createSharedArenas } from "./shared-arenas.ts";
import { Recorder } from "./testing/recorder.ts";
import { ended, isRunning, suspended } from "./testing/running.ts";
import { onStage, Stage } from "./testing/stage.ts";

const LIMIT = { timeout: 20_000 };

/** A driver that says when it is loaded, and by which process it is opened. */
const TALKING = `
  console.log("loaded by " + process.pid);
  export default { open() {
    console.log("opened by " + process.pid);
    return { size: 4096 as number, identity: "first", read() {} };
  } };
`;
const LOADED = /^loaded by (\d+)$/;

function claim(name: string, text: string, body: (stage: Stage) => Promise<void>): void {
  test(name, LIMIT, () => onStage(new Stage("process", text, {}, "driver.ts", { standby: true }), body));
}

/** Opens incarnation 1; resolves with the process id of its standby. */
async function openWithStandby(stage: Stage): Promise<number> {
  const first = stage.printed(LOADED);
  await stage.open(1);
  await first;
  return standbyOf(stage);
}

async function standbyOf(stage: Stage): Promise<number> {
  return Number((await stage.printed(LOADED))[1]);
}

async function over(stage: Stage, epoch: number): Promise<void> {
  stage.incarnations.kill(epoch);
  await stage.recorder.seen("exited", epoch);
}

claim("the next incarnation is the standby, and has one itself", TALKING, async (stage) => {
  let standby = await openWithStandby(stage);
  for (const epoch of [2, 3]) {
    assert(!stage.output.includes(`opened by ${standby}`), "a standby does not open anything");
    await over(stage, epoch - 1);
    await stage.open(epoch);
    assert.equal(stage.incarnations.pid(epoch), standby);
    standby = await standbyOf(stage);
  }
  assert.deepEqual(stage.recorder.story(), ["opened 1", "exited 1", "opened 2", "exited 2", "opened 3"]);
});

claim("a standby that is still loading is used as well", TALKING, async (stage) => {
  const standby = await openWithStandby(stage);
  // It is loaded in this very moment, and has not said that it is ready.
  await over(stage, 1);
  await stage.open(2);
  assert.equal(stage.incarnations.pid(2), standby);
});

claim("a standby that is killed is no incarnation's end, and comes again", TALKING, async (stage) => {
  const standby = await openWithStandby(stage);
  const said = stage.printed(/^no standby: .*killed by SIGKILL/);
  const next = standbyOf(stage);
  process.kill(standby, "SIGKILL");
  await said;
  assert.deepEqual(stage.recorder.story(), ["opened 1"]);
  const another = await next;
  await over(stage, 1);
  await stage.open(2);
  assert.equal(stage.incarnations.pid(2), another);
});

claim("without the standby that was killed, a start is a cold one", TALKING, async (stage) => {
  const standby = await openWithStandby(stage);
  const said = stage.printed(/^no standby: /);
  process.kill(standby, "SIGKILL");
  await said;
  await over(stage, 1);
  await stage.open(2);
  assert.notEqual(stage.incarnations.pid(2), standby);
});

for (const [what, file, text] of [
  ["a driver", "driver.ts", TALKING.replace("first", "second")],
  ["a module that a driver imports", "part.mjs", `export const name = "second";`],
] as const) {
  const importing = `import { name } from "./part.mjs"; ${TALKING.replace('"first"', "name")}`;
  claim(`${what} that was edited runs as it is now, not as a standby has loaded it`, TALKING, async (stage) => {
    writeFileSync(join(stage.folder, "part.mjs"), `export const name = "first";`);
    writeFileSync(stage.path, importing);
    const standby = await openWithStandby(stage);
    writeFileSync(join(stage.folder, file), text);
    await over(stage, 1);
    await stage.open(2);
    assert.equal((await stage.recorder.seen("opened", 2)).info.identity, "second");
    assert.notEqual(stage.incarnations.pid(2), standby);
    assert.deepEqual(stage.recorder.story(), ["opened 1", "exited 1", "opened 2"]);
    assert(!stage.output.includes(`opened by ${standby}`));
    await ended(standby);
  });
}

claim(
  "a standby that can't be loaded is said to be missing, and cold starts go on",
  `
    import { appendFileSync, readFileSync } from "node:fs";
    const loads = import.meta.dirname + "/loads";
    appendFileSync(loads, "x");
    if (readFileSync(loads).length === 2) throw new Error("not twice");
    export default { open: () => ({ size: 512, read() {} }) };
  `,
  async (stage) => {
    const said = stage.printed(/^no standby: /);
    await stage.open(1);
    assert.match(
      (await said).input,
      /^no standby: Cannot open driver driver\.ts: loading it failed: Error: not twice, [^\n]+$/,
    );
    await over(stage, 1);
    await stage.open(2);
  },
);

claim("a standby that is suspended is not waited for", TALKING, async (stage) => {
  const standby = await openWithStandby(stage);
  process.kill(standby, "SIGSTOP");
  await suspended(standby);
  await over(stage, 1);
  await stage.open(2);
  assert.notEqual(stage.incarnations.pid(2), standby);
  await ended(standby);
});

test("nothing is left of a standby when its owner is disposed of", LIMIT, async () => {
  let standby = 0;
  const stage = new Stage("process", TALKING, {}, "driver.ts", { standby: true });
  await onStage(stage, async () => {
    standby = await openWithStandby(stage);
    assert(isRunning(standby));
  });
  await ended(standby);
});

const EPOCHS = [1, 2];

/** Drivers by their kinds, each a file, with a recorder in the front's place. */
async function withDrivers(
  texts: Readonly<Record<string, string>>,
  body: (incarnations: ProcessIncarnations, recorder: Recorder) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "skink-link-"));
  for (const [kind, text] of Object.entries(texts)) writeFileSync(join(folder, `${kind}.ts`), text);
  const memory = createSharedArenas({ writeBytes: 0, readBytes: 0 });
  const recorder = new Recorder();
  const incarnations = new ProcessIncarnations({
    sourceOf: ({ kind }) => ({ module: pathToFileURL(join(folder, `${kind}.ts`)).href, options: {} }),
    memory,
    events: recorder,
    output: () => {},
    standby: false,
  });
  try {
    await body(incarnations, recorder);
  } finally {
    for (const epoch of EPOCHS) incarnations.kill(epoch);
    incarnations.dispose();
    memory.close();
    rmSync(folder, { recursive: true });
  }
}

const prepared = (incarnations: ProcessIncarnations, driver: DriverRef): Promise<string | undefined> =>
  new Promise((resolve) => incarnations.prepare(driver, resolve));

/** A driver whose kept memory says which drivers have been there; its identity is the process that loaded it. */
const keeping = (letter: string): string => `
  const loader = String(process.pid);
  export default { open(options, context) {
    const memory = context.keep("blocks", 4096);
    memory[memory.indexOf(0)] = ${letter.charCodeAt(0)};
    return { size: 4096, identity: loader + " " + Buffer.from(memory).toString().replaceAll("\\0", ""), read() {} };
  } };
`;

test("what was prepared is started, and a driver that can't be is refused in one line", LIMIT, () =>
  withDrivers(
    { a: keeping("a"), b: keeping("b"), broken: "throw new Error('boom');" },
    async (incarnations, recorder) => {
      const [a, b] = [{ kind: "a" }, { kind: "b" }];
      incarnations.start(1, a);
      await recorder.seen("opened", 1);
      const failure = await prepared(incarnations, { kind: "broken" });
      assert.equal(
        failure,
        "Cannot open driver broken.ts: loading it failed: Error: boom, a module that exports a driver was wanted",
      );
      assert.equal(await prepared(incarnations, b), undefined);
      assert.deepEqual(recorder.story(), ["opened 1"]);
      incarnations.close(1);
      await recorder.seen("exited", 1);
      incarnations.start(2, b);
      const pid = incarnations.pid(2);
      assert.equal((await recorder.seen("opened", 2)).info.identity, `${pid} ab`);
      incarnations.kill(2);
      await recorder.seen("exited", 2);
    },
  ),
);

test("what was prepared before memory was kept that it does not know is not started", LIMIT, () =>
  withDrivers({ a: keeping("a"), b: keeping("b") }, async (incarnations, recorder) => {
    const b = { kind: "b" };
    assert.equal(await prepared(incarnations, b), undefined);
    for (const [epoch, driver, story] of [
      [1, { kind: "a" }, "a"],
      [2, b, "ab"],
    ] as const) {
      incarnations.start(epoch, driver);
      assert.equal((await recorder.seen("opened", epoch)).info.identity, `${incarnations.pid(epoch)} ${story}`);
      incarnations.kill(epoch);
      await recorder.seen("exited", epoch);
    }
  }),
);

test("of what is prepared there is one: the one before is given up, and says so", LIMIT, () =>
  withDrivers({ a: "await new Promise(() => setInterval(() => {}, 1000));", b: keeping("b") }, async (incarnations) => {
    const first = prepared(incarnations, { kind: "a" });
    const second = prepared(incarnations, { kind: "b" });
    assert.equal(await first, "Cannot prepare driver a: another one was wanted meanwhile");
    assert.equal(await second, undefined);
  }),
);
