import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { SeededRandom } from "../src/block/random.ts";
import { askFront } from "../src/front/control-client.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { LogWritesReader } from "../src/record/log-reader.ts";
import type { LogEntry } from "../src/record/log-writes.ts";
import { peer } from "./peers.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";

const DISK_BYTES = 1 << 20;
const SECTOR = 512;
const MAX_SECTORS = 128;
const ROUNDS = 6;
const REQUESTS = 60;

/** Serves a disk of DISK_BYTES and records both of its sides. */
async function record(scene: Scene, spec: string): Promise<Front> {
  const logs = ["--log", scene.path("log"), "--driver-log", scene.path("driver-log")];
  return await serve(scene, spec, { command: "record", args: ["--name", "disk", ...logs] });
}

async function mark(front: Front, text: string): Promise<void> {
  await askFront(front.control, { command: "mark", name: "disk", text });
}

/** What a log says that the device holds: `image` with the entries done to it. A trim leaves zeroes. */
function replay(log: LogWritesReader, entries: readonly LogEntry[], image = Buffer.alloc(DISK_BYTES)): Buffer {
  for (const entry of entries) {
    const range = image.subarray(entry.offset, entry.offset + entry.length);
    if (entry.hasData) log.data(entry, range);
    else range.fill(0);
  }
  return image;
}

function withLog<Result>(path: string, body: (log: LogWritesReader) => Result): Result {
  const log = LogWritesReader.open(path);
  try {
    assert.equal(log.cutOff, undefined);
    return body(log);
  } finally {
    log.close();
  }
}

function indexOfMark({ entries }: LogWritesReader, mark: string): number {
  const found = entries.find((entry) => entry.mark === mark);
  assert.ok(found !== undefined, `there is no mark ${mark}`);
  return found.index;
}

/** Overlapping writers and flushes, all of them at once. */
async function load(client: NbdClient, random: SeededRandom, requests: number): Promise<void> {
  await Promise.all(
    Array.from({ length: requests }, () => {
      const sectors = 1 + random.below(MAX_SECTORS);
      const offset = random.below(DISK_BYTES / SECTOR - sectors) * SECTOR;
      const length = sectors * SECTOR;
      const fua = random.below(8) === 0;
      switch (random.below(8)) {
        case 0:
          return client.flush();
        case 1:
          return client.zero(offset, length, { fua });
        default:
          return client.write(offset, Buffer.alloc(length, 1 + random.below(255)), { fua });
      }
    }),
  );
}

for (const [what, spec] of [
  ["a memory disk", `memory:${DISK_BYTES}`],
  ["a disk with a volatile cache", `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}`],
] as const) {
  test(`the log of ${what} gives its bytes at each flush, while its drivers are killed`, () =>
    inScene(async (scene) => {
      const random = new SeededRandom(1);
      const front = await record(scene, spec);
      const client = await NbdClient.connect(front.uri);
      const images: Uint8Array[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const loaded = load(client, random, REQUESTS);
        if (round % 2 === 1) await front.killDriver();
        await loaded;
        await client.flush();
        await mark(front, `round ${round}`);
        images.push(await client.read(0, DISK_BYTES));
      }
      const { epoch } = await front.device();
      await client.close();
      await front.stop();
      withLog(scene.path("log"), (log) => {
        assert.equal(log.deviceBytes, DISK_BYTES);
        for (const [round, image] of images.entries()) {
          const at = indexOfMark(log, `round ${round}`);
          assert.equal(log.entries[at - 1]?.flush, true);
          assert.ok(replay(log, log.entries.slice(0, at)).equals(image), `round ${round} is not what was read`);
        }
        assert.ok(!log.entries.some((entry) => entry.mark?.startsWith("skink: epoch")));
      });
      withLog(scene.path("driver-log"), (log) => {
        const epochs = log.entries.filter((entry) => entry.mark?.startsWith("skink: epoch"));
        assert.equal(epochs.length, 1 + ROUNDS / 2);
        assert.equal(epochs.at(-1)?.mark, `skink: epoch ${epoch}`);
        assert.ok(replay(log, log.entries).equals(images.at(-1) as Uint8Array), "the driver's log says otherwise");
      });
    }));
}

test("the driver's log shows what a new driver is given again", () =>
  inScene(async (scene) => {
    const front = await record(scene, `memory:${DISK_BYTES}`);
    const client = await NbdClient.connect(front.uri);
    await client.write(4096, Buffer.alloc(SECTOR, 7));
    await front.killDriver();
    await client.flush();
    await client.close();
    await front.stop();
    const writesIn = (path: string): number =>
      withLog(path, ({ entries }) => entries.filter(({ offset, hasData }) => hasData && offset === 4096).length);
    assert.equal(writesIn(scene.path("log")), 1);
    assert.equal(writesIn(scene.path("driver-log")), 2);
  }));

test("a foreign server's side is recorded like a driver's", { skip: peer("nbdkit") }, () =>
  inScene(async (scene) => {
    const front = await record(scene, `exec:nbdkit -f -U {socket} memory ${DISK_BYTES}`);
    const client = await NbdClient.connect(front.uri);
    await load(client, new SeededRandom(1), REQUESTS);
    await client.flush();
    const image = await client.read(0, DISK_BYTES);
    await client.close();
    await front.stop();
    for (const path of ["log", "driver-log"]) {
      withLog(scene.path(path), (log) => assert.ok(replay(log, log.entries).equals(image), `${path} says otherwise`));
    }
  }),
);

test("a front that is killed leaves a log with everything up to the last flush, mark and FUA write", () =>
  inScene(async (scene) => {
    const front = await record(scene, `memory:${DISK_BYTES}`);
    const client = await NbdClient.connect(front.uri);
    await client.write(0, Buffer.alloc(SECTOR, 1));
    await client.flush();
    await client.write(SECTOR, Buffer.alloc(SECTOR, 2), { fua: true });
    await mark(front, "here");
    await front.end("SIGKILL");
    client.destroy();
    scene.defer(() => scene.need("rm", ["-f", front.control, scene.path("nbd")]));
    withLog(scene.path("log"), ({ entries }) => {
      const told = entries.map(({ mark, flush, fua }) => mark ?? (flush ? "flush" : fua ? "fua" : "write"));
      assert.deepEqual(told.slice(1), ["write", "flush", "fua", "here"]);
    });
  }));

test("skink mark and skink record --show: a log for people and for machines", { skip: peer("qemu-io") }, () =>
  inScene(async (scene) => {
    const front = await record(scene, `memory:${DISK_BYTES}`);
    const commands = ["write -P 1 0 64k", "flush", "write -f -P 2 1k 512", "write -z 4k 4k", "discard 8k 8k"];
    await scene.need("qemu-io", ["-f", "raw", "-t", "none", ...commands.flatMap((line) => ["-c", line]), front.uri]);
    const marked = await scene.skink("mark", "disk", "all of it", "--control", front.control);
    assert.deepEqual([marked.code, marked.stdout, marked.stderr], [0, "", ""]);
    const refused = await scene.skink("mark", "disk", "skink: mine", "--control", front.control);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /^Cannot mark "skink: mine": .*\n$/);
    await front.stop();
    const shown = await scene.skink("record", "--show", scene.path("log"));
    const lines = shown.stdout.split("\n");
    assert.match(lines[0] as string, /: \d+ entries, of a device of 1M, sectors of 512 bytes$/);
    assert.deepEqual(
      lines.slice(2, 8).map((line) =>
        line
          .split(/\s{2,}/)
          .slice(1)
          .join(" "),
      ),
      [
        "mark skink: size=1048576 block=512",
        "write 0 65536",
        "flush",
        "write fua 1024 512",
        "write 4096 4096",
        "trim 8192 8192",
      ],
    );
    assert.ok(lines.some((line) => line.endsWith("mark        all of it")));
    const json = await scene.skink("record", "--show", scene.path("log"), "--json");
    const entries = json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as LogEntry);
    withLog(scene.path("log"), (log) => assert.deepEqual(entries, JSON.parse(JSON.stringify(log.entries))));
  }),
);

test("a log that is there is not overwritten, and a device that never opens leaves none", () =>
  inScene(async (scene) => {
    const log = scene.write("log", "precious");
    const taken = await scene.skink("record", `memory:${DISK_BYTES}`, "--log", log);
    assert.equal(taken.code, 1);
    assert.equal(taken.stderr, `Cannot record to ${log}: it is there already, a new file or --force was wanted\n`);
    assert.equal(readFileSync(log, "utf8"), "precious");
    const fails = await scene.skink("record", `file:${scene.path("none")}`, "--log", scene.path("new"));
    assert.equal(fails.code, 1);
    assert.match(fails.stderr, /^Cannot open /);
    assert.equal(existsSync(scene.path("new")), false);
    const forced = await scene.skink("record", `file:${scene.path("none")}`, "--log", log, "--force");
    assert.match(forced.stderr, /^Cannot open /);
    assert.equal(readFileSync(log, "utf8"), "precious");
    const front = await serve(scene, `memory:${DISK_BYTES}`, { command: "record", args: ["--log", log, "--force"] });
    const second = await scene.skink("record", `memory:${DISK_BYTES}`, "--log", log, "--force");
    assert.equal(second.stderr, `Cannot record to ${log}: it is in use, a file of its own was wanted\n`);
    await front.stop();
    withLog(log, ({ deviceBytes }) => assert.equal(deviceBytes, DISK_BYTES));
  }));

test("a configuration of two devices is bad usage, and no log is touched", () =>
  inScene(async (scene) => {
    const log = scene.write("log", "precious");
    const config = scene.write("two.yaml", "devices: [{name: a, spec: 'null:1M'}, {name: b, spec: 'null:1M'}]");
    const { code, stderr } = await scene.skink("record", config, "--log", log, "--force");
    assert.equal(code, 2);
    assert.equal(stderr.split("\n")[0], `Cannot record ${config}: it has 2 devices, one was wanted`);
    assert.equal(readFileSync(log, "utf8"), "precious");
  }));

for (const [what, args, complaint] of [
  ["without a log", ["memory:1M"], "Cannot record memory:1M: there is no --log, a file for the log was wanted"],
  ["without a device", ["--log", "x"], "Cannot record: no device is given, a device spec was wanted"],
  ["to one file twice", ["null:1M", "--log", "x", "--driver-log", "./x"], "--log and --driver-log are both x"],
  [
    "and shown at once",
    ["null:1M", "--show", "x"],
    "Cannot show x: null:1M is there beside it, a log alone was wanted",
  ],
] as const) {
  test(`skink record ${what} is bad usage`, () =>
    inScene(async (scene) => {
      const { code, stderr } = await scene.skink("record", ...args);
      assert.equal(code, 2);
      assert.ok(stderr.includes(complaint), stderr);
    }));
}

test("a device that is not recorded can't be marked", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M", { args: ["--name", "disk"] });
    const { code, stderr } = await scene.skink("mark", "disk", "text", "--control", front.control);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^Cannot mark disk: it is not being recorded, a device that skink record serves was wanted\n$/,
    );
    await front.stop();
  }));
