/** `skink upgrade`: another driver takes over under load, and nothing is lost, whether it proves itself or not. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { askFront } from "../src/front/control-client.ts";
import type { UpgradeResult } from "../src/front/control-protocol.ts";
import { clientOf, DISK_BYTES, newDisk } from "./foreign.ts";
import { newest, nextEvent } from "./front-events.ts";
import { withinGoal } from "./goal.ts";
import { GENTLE, Load } from "./load.ts";
import { peer } from "./peers.ts";
import { inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { SICK_DRIVER, SickDisk, signal } from "./sick-disk.ts";
import { until } from "./until.ts";

const NAME = "disk";
const STALL_GOAL_MS = 20;
/** That a newcomer acknowledges before its end. */
const FLUSHES = 20;
const FLUSHES_TIMEOUT_MS = 10_000;
/** So long a probation that it has to be ended by the test, and one that is soon over. */
const LONG = "{ probationRequests: 1000000000, probationMs: 60000 }";
const SHORT = "{ probationRequests: 100, probationMs: 500 }";
/** A healthy driver, but for what another module of it does with each write. */
const EDITED_DRIVER = `
  import disk from ${JSON.stringify(SICK_DRIVER)};
  import { onWrite } from "./version.ts";
  export default {
    async open(options: Record<string, string>, context: never) {
      const device = await disk.open(options, context);
      const write = (offset: number, from: Uint8Array) => {
        onWrite();
        return device.write(offset, from);
      };
      return { ...device, write };
    },
  };
`;

test("drivers take over from each other under load, no request waits long, and nothing is lost", async (context) => {
  await inScene(async (scene) => {
    const { front, file, load, disk } = await serveLoaded(scene, SHORT);

    await context.test("another version of the same driver", async () => {
      let version = 1;
      await withinGoal(STALL_GOAL_MS, async () => {
        const next = new SickDisk(scene, `version-${++version}`, `path=${file}`);
        const before = await front.device();
        const { outcome, epoch, stallMs } = await upgraded(front, next.spec);
        assert.deepEqual([outcome, epoch], ["upgraded", before.epoch + 1]);
        return stallMs;
      });
    });

    await context.test("a foreign server, there and back", { skip: peer("nbdkit") }, async () => {
      for (const [spec, kind] of [
        [`exec:nbdkit -f -U {socket} file ${file}`, "exec:nbdkit"],
        [disk.spec, "sick-driver.ts"],
      ] as const) {
        assert.equal((await upgraded(front, spec)).outcome, "upgraded");
        assert.equal((await front.until("live")).driver.kind, kind);
      }
    });

    await context.test("another driver, by the command, which a restart then brings back", async () => {
      const spec = `file:${file}`;
      const { code, stdout } = await scene.skink("upgrade", NAME, spec, "--control", front.control);
      assert.equal(code, 0);
      assert.match(stdout, /^upgraded disk to file:[^\n]*: epoch \d+, requests waited for at most [\d.]+ ms\n$/);
      await front.killDriver();
      await askFront(front.control, { command: "restart", name: NAME });
      assert.equal((await front.until("live")).driver.kind, "file");
    });

    await endLoad(front, load);
    await checkFile(front, load, file);
  });
});

test("a newcomer that is no good changes nothing, or is taken back, and nothing is lost", async (context) => {
  await inScene(async (scene) => {
    const { front, file, load } = await serveLoaded(scene, LONG);
    const newcomer = new SickDisk(scene, "newcomer", `path=${file}`);

    for (const [what, text, message] of [
      ["is not there", undefined, /there is no file/],
      ["does not load", "export default {", /loading it failed/],
      ["is no driver", "export default { close() {} };", /an object with a method open was wanted/],
    ] as const) {
      await context.test(`one that ${what}`, async () => {
        const { epoch } = await front.until("live");
        const path = text === undefined ? scene.path("nowhere.ts") : scene.write("broken.ts", text);
        await assert.rejects(upgrade(front, path), message);
        const device = await front.device();
        assert.deepEqual([device.epoch, device.state], [epoch, "live"]);
      });
    }

    await context.test("one that cannot open the store, by the command", async () => {
      newcomer.order("open refuse");
      const { epoch } = await front.until("live");
      const { code, stderr } = await scene.skink("upgrade", NAME, newcomer.spec, "--control", front.control);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^Cannot upgrade disk to [^\n]*it can't be done today[^\n]*the old driver serves again[^\n]*\n$/,
      );
      await front.until("live", epoch);
    });

    for (const [what, order, reason] of [
      ["dies of a write", "write exit", /exit code 3/],
      ["hangs in a read", "read loop", /of CPU time/],
      ["lies about what it reads", "read@4096 corrupt", /other data than was written|another store/],
    ] as const) {
      await context.test(`one that ${what}`, async () => {
        newcomer.order(order);
        await takenBack(front, newcomer.spec, reason);
      });
    }

    await context.test("one with another store", async () => {
      // What of it was looked at may be as it should be: then a read tells.
      await takenBack(front, `memory:${DISK_BYTES}`, /another store|other data than was written/);
    });

    await context.test("a second one while the first is on probation, which a stop ends in order", async () => {
      newcomer.order();
      const options = ["--no-wait", "--json", "--control", front.control];
      const { code, stdout } = await scene.skink("upgrade", NAME, newcomer.spec, ...options);
      assert.deepEqual([code, JSON.parse(stdout).outcome], [0, "on probation"]);
      await assert.rejects(upgrade(front, `file:${file}`), /another upgrade of it is going on/);
    });

    await endLoad(front, load);
    await checkFile(front, load, file);
  });
});

test("what a newcomer has acknowledged, flushed and not written is written when it is taken back", () =>
  inScene(async (scene) => {
    const { front, file, load } = await serveLoaded(scene, LONG, "off");
    const newcomer = new SickDisk(scene, "newcomer", `path=${file}`);
    newcomer.order("write lost", "zero lost");
    await upgraded(front, newcomer.spec, false);
    const { flushes } = (await front.device()).counters;
    await until(`${FLUSHES} flushes`, FLUSHES_TIMEOUT_MS, async () =>
      load.hasFailed || (await front.device()).counters.flushes >= flushes + FLUSHES ? true : undefined,
    );
    const after = await newest(front);
    await signal(front, NAME, "SIGKILL");
    await nextEvent(front, "rollback", { after });
    await endLoad(front, load);
    await checkFile(front, load, file);
  }));

test("a driver that was edited in place, and is no good, is taken back for the code that served", () =>
  inScene(async (scene) => {
    const file = newDisk(scene);
    const version = (write: string) => scene.write("version.ts", `export const onWrite = (): void => {${write}};`);
    version("");
    const path = scene.write("driver.ts", EDITED_DRIVER);
    const spec = `${path}?path=${file}&orders=${scene.path("orders")}`;
    const front = await serveSpec(scene, spec, LONG);
    const load = await Load.start(scene, front.uri, 7, GENTLE);

    version("process.exit(3)");
    await takenBack(front, spec, /exit code 3/);
    // It is a restart like any other that it has to come through as well.
    scene.write("driver.ts", "export default {");
    const { epoch } = await front.device();
    await signal(front, NAME, "SIGKILL");
    await front.until("live", epoch);
    await endLoad(front, load);
    await checkFile(front, load, file);
  }));

test("an upgrade is refused while the driver recovers, and does not hold up a stop", () =>
  inScene(async (scene) => {
    const { front, disk, file } = await serveDisk(scene, LONG);
    disk.order("open never");
    await signal(front, NAME, "SIGKILL");
    await disk.opens();
    await assert.rejects(upgrade(front, `file:${file}`), /it is recovering, live/);
    await askFront(front.control, { command: "kill", name: NAME });
    await front.until("live");

    const client = await clientOf(scene, front);
    await client.write(0, new Uint8Array(512).fill(8));
    disk.order("open never");
    const outcome = assert.rejects(upgrade(front, disk.spec), /stop/);
    await disk.opens();
    await front.stop();
    await outcome;
    assert.deepEqual(readFileSync(file).subarray(0, 512), Buffer.alloc(512, 8));
  }));

type Verify = "digests" | "off";

interface Served {
  readonly front: Front;
  readonly disk: SickDisk;
  readonly file: string;
}

async function serveDisk(scene: Scene, policy: string, verify: Verify = "digests"): Promise<Served> {
  const file = newDisk(scene);
  const disk = new SickDisk(scene, NAME, `path=${file}`);
  return { front: await serveSpec(scene, disk.spec, policy, verify), disk, file };
}

function serveSpec(scene: Scene, spec: string, policy: string, verify: Verify = "digests"): Promise<Front> {
  const lines = [
    "devices:",
    `  - name: ${NAME}`,
    `    spec: ${JSON.stringify(spec)}`,
    `    policy: ${policy}`,
    `    verify: ${verify}`,
    "",
  ];
  return serve(scene, scene.write("skink.yaml", lines.join("\n")));
}

async function serveLoaded(scene: Scene, policy: string, verify: Verify = "digests") {
  const served = await serveDisk(scene, policy, verify);
  return { ...served, load: await Load.start(scene, served.front.uri, 7, GENTLE) };
}

function upgrade(front: Front, spec: string, wait = true): Promise<UpgradeResult> {
  return askFront(front.control, { command: "upgrade", name: NAME, spec, base: "/", wait });
}

/** One that has to come out well. */
async function upgraded(front: Front, spec: string, wait = true): Promise<UpgradeResult> {
  await front.until("live");
  return await upgrade(front, spec, wait);
}

/** One that has to be rolled back. */
async function takenBack(front: Front, spec: string, message: RegExp): Promise<void> {
  const { driver } = await front.until("live");
  const after = await newest(front);
  const { outcome, reason, epoch } = await upgrade(front, spec);
  assert.equal(outcome, "rolled back");
  assert.match(reason ?? "", message);
  assert.match((await nextEvent(front, "rollback", { after })).reason, message);
  const device = await front.until("live");
  assert.deepEqual([device.driver.kind, device.epoch], [driver.kind, epoch]);
}

async function endLoad(front: Front, load: Load): Promise<void> {
  await load.stop();
  await load.readAll();
  await load.close();
  assert.equal((await front.device()).counters.errors, 0);
}

/** Everything that was acknowledged has to be in the file once the front has ended. */
async function checkFile(front: Front, load: Load, file: string): Promise<void> {
  await front.stop();
  load.checkBytes(readFileSync(file));
}
