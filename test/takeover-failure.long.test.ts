/** Takeovers that come to nothing, and fronts that die in the middle of one: nothing is lost, and somebody serves. */
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdirSync, renameSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { askFront } from "../src/front/control-client.ts";
import { Takeover } from "../src/front/takeover.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { encodeClientFlags } from "../src/nbd/wire/greeting.ts";
import { encodeOption } from "../src/nbd/wire/options.ts";
import { COMMAND, OPTION } from "../src/nbd/wire/protocol.ts";
import { encodeRequest, REQUEST_BYTES } from "../src/nbd/wire/requests.ts";
import { viewOf } from "../src/nbd/wire/view.ts";
import { ServiceManager } from "../src/service/service-manager.ts";
import { childrenOf } from "./processes.ts";
import { endFront, frontOf } from "./reconnect-kill.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { failTakeOver, startTakeOver, takeOver } from "./takeover-scene.ts";
import { until, within } from "./until.ts";

const EVENT_TIMEOUT_MS = 20_000;
const SECTOR_BYTES = 512;
const GUARD = ["--guard"];
/** A driver that stands still isn't found out: whoever waits for it goes on waiting. */
const PATIENT = { watch: false };
/** … but for so long, when it is to stop. */
const HASTY = { watch: false, stopTimeoutMs: 3000 };
/** What it has been told and not to flush goes with the driver. */
const VOLATILE = `${EXAMPLES}/volatile.ts?size=8M`;

/** A configuration, and what is said to it while the old front still serves. */
const NO_GOOD: Record<string, { readonly wants: object; readonly args?: readonly string[]; readonly says: RegExp }> = {
  "a configuration that is none": { wants: { limits: 7 }, says: /skink\.yaml:1: devices\[0\]\.limits: it is 7/ },
  "a driver that isn't there": { wants: { spec: "./none.ts" }, says: /Cannot serve "\.\/none\.ts": there is no file/ },
  "another device": {
    wants: { name: "other" },
    says: /^Cannot take over from [^\n]*: it serves disk, all of its devices were wanted here/,
  },
  "another home": { wants: { home: "memory" }, says: /^Cannot serve without the shadow of another device/ },
  "more memory": {
    wants: { limits: { writeBytes: "512M" } },
    says: /^Cannot take up the memory of writes that was kept: it has \d+ bytes, \d+ are wanted by the limits of now/,
  },
  "more pieces": {
    wants: { limits: { pieces: 1 << 20 } },
    says: /^Cannot take up the shadow: the ledger is for \d+ pieces, 1048576 are wanted by the limits of now/,
  },
  "nobody to keep its memory": { wants: {}, args: [], says: /^Cannot keep the shadow of disk in shm/ },
};

test("a new front that is no good takes nothing over, and the old one serves on", () =>
  inScene(async (scene) => {
    const old = await serve(scene, configOf(scene), { args: GUARD });
    const client = await NbdClient.connect(old.uri);
    await client.write(0, sector(1));
    for (const [what, { wants, args = GUARD, says }] of Object.entries(NO_GOOD)) {
      const { code, stderr } = await failTakeOver(scene, configOf(scene, wants), args);
      assert.match(stderr, says, what);
      assert.equal(stderr.split("\n").length, 2, stderr);
      assert.ok(code === 1 || code === 2, `${what}: ${code}`);
      // The connection is the same one.
      assert.deepEqual(await client.read(0, SECTOR_BYTES), sector(1));
    }
    await client.close();
    await takesOverStill(scene, old, 1);
  }));

test("a new front that doesn't come back for the last word is forgotten", () =>
  inScene(async (scene) => {
    const old = await serve(scene, configOf(scene), { args: GUARD });
    await put(old, 1);
    await Takeover.begin(old.control, ServiceManager.nobody());
    await put(old, 2);
    await takesOverStill(scene, old, 2);
  }));

test("of two that take over at once, one does", () =>
  inScene(async (scene) => {
    const old = await serve(scene, configOf(scene), { args: GUARD });
    await put(old, 1);
    const fronts = [1, 2].map(() => startTakeOver(scene, configOf(scene), GUARD));
    assert.equal((await within("the old front to end", EVENT_TIMEOUT_MS, old.ended)).code, 0);
    const ends = fronts.map((front) => front.ended);
    const loser = await within("one of the two to end", EVENT_TIMEOUT_MS, Promise.race(ends));
    // One that comes so late that the first serves already takes over from that.
    if (loser.code === 0) assert.equal(loser.stderr, "");
    else assert.match(loser.stderr, /^Cannot (hand over|ask the front|take over)[^\n]*\n$/);
    const winner = fronts.find((front) => !front.hasEnded) as Front;
    await until("the other one to be ready", EVENT_TIMEOUT_MS, () => winner.ready[0]);
    await takesOverStill(scene, winner, 1);
  }));

test("a driver that doesn't open in the new front is tried again until it does, and all that was acknowledged is there", () =>
  inScene(async (scene) => {
    const { config, folder } = inFolder(scene, { home: "shm" });
    const old = await serve(scene, config, { args: GUARD });
    await put(old, 1);
    await stopDriver(old);
    renameSync(folder, `${folder}-away`);
    const next = startTakeOver(scene, config, GUARD);
    assert.equal((await within("the old front to end", EVENT_TIMEOUT_MS, old.ended)).code, 0);
    await next.logs(/guard: the front ended with exit code 1 [^\n]*before it was ready/);
    renameSync(`${folder}-away`, folder);
    await until("the new front to be ready", EVENT_TIMEOUT_MS, () => next.ready[0]);
    assert.deepEqual(await get(next), sector(1));
    await next.stop();
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("where nobody tries again, a driver that doesn't open ends the new front, and the log has all that was acknowledged", () =>
  inScene(async (scene) => {
    const { config, folder } = inFolder(scene, { home: `disk:${scene.path("shadow.log")}?size=96M` });
    const old = await serve(scene, config);
    await put(old, 1);
    await stopDriver(old);
    renameSync(folder, `${folder}-away`);
    const { code, stderr } = await failTakeOver(scene, config);
    assert.equal((await old.ended).code, 0);
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot open /m);
    assert.deepEqual(await scene.leftovers(), []);
    renameSync(`${folder}-away`, folder);
    const next = await serve(scene, config);
    assert.deepEqual(await get(next), sector(1));
    await next.stop();
  }));

test("a front whose own memory is the home hands over only what its driver can flush", () =>
  inScene(async (scene) => {
    const { config, folder } = inFolder(scene, { home: "memory" });
    const old = await serve(scene, config);
    await put(old, 1);
    renameSync(folder, `${folder}-away`);
    const { driver } = await old.until("live");
    process.kill(driver.pid as number, "SIGKILL");
    await old.until("recovering");
    const failed = await failTakeOver(scene, config);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /^Cannot hand over: disk is recovering, and what it has acknowledged is in this front/);
    renameSync(`${folder}-away`, folder);
    await old.until("live");
    assert.deepEqual(await get(old), sector(1));
    await old.stop();
  }));

test("the old front may die while it hands over: its guard starts the next one, and the new one gives up", () =>
  inScene(async (scene) => {
    const old = await serve(scene, configOf(scene), { args: GUARD });
    await put(old, 1);
    await stopDriver(old);
    const next = startTakeOver(scene, configOf(scene), GUARD);
    await old.until("stopping");
    await endFront(await frontOf(old));
    const { code, stderr } = await within("the new front to give up", EVENT_TIMEOUT_MS, next.ended);
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot ask the front at [^\n]*\n$/);
    await old.until("live");
    assert.deepEqual(await get(old), sector(1));
    await takesOverStill(scene, old, 1);
  }));

test("the new front may die while the old one hands over: its guard starts the next one, which waits for the old one's end", () =>
  inScene(async (scene) => {
    // Nothing but the old front itself keeps another one from this store.
    const config = configOf(scene, { spec: "memory:8M", policy: HASTY });
    const old = await serve(scene, config, { args: GUARD });
    await put(old, 1);
    await stopDriver(old);
    const next = startTakeOver(scene, config, GUARD);
    await old.until("stopping");
    const { pid } = await old.status();
    await assert.rejects(askFront(old.control, { command: "hand-over", pid }), { code: "wrong-state" });
    await endFront(await frontOf(next));
    const isReady = until("the new front to be ready", EVENT_TIMEOUT_MS, () => next.ready[0]);
    const first = await Promise.race([old.ended.then(() => "the end of the old one"), isReady]);
    assert.equal(first, "the end of the old one");
    assert.equal((await old.ended).code, 0);
    await isReady;
    assert.deepEqual(await get(next), sector(1));
    await next.stop();
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("an old front that dies before the last word is started again by its guard", () =>
  inScene(async (scene) => {
    const old = await serve(scene, configOf(scene), { args: GUARD });
    await put(old, 1);
    const takeover = await Takeover.begin(old.control, ServiceManager.nobody());
    const killed = await frontOf(old);
    await endFront(killed);
    await until("the next front", EVENT_TIMEOUT_MS, () => (childrenOf(old.pid).includes(killed) ? undefined : true));
    await old.until("live");
    // What the new one has is of the dead one; the last word would end another one.
    await assert.rejects(takeover.finish(), {
      code: "wrong-state",
      message: /^Cannot hand over: the offer was made by/,
    });
    assert.equal((await old.device()).state, "live");
    await takesOverStill(scene, old, 1);
  }));

test("a front that stops offers nothing, nor does one that is asked for it by nobody", () =>
  inScene(async (scene) => {
    const old = await serve(scene, configOf(scene), { args: GUARD });
    await assert.rejects(askFront(old.control, { command: "offer", socket: "@skink-nobody-is-here" }), {
      code: "not-offered",
      message: /^Cannot hand over: its descriptors can't be sent to @skink-nobody-is-here \(ECONNREFUSED/,
    });
    const driver = await stopDriver(old);
    const stopping = askFront(old.control, { command: "stop" });
    await old.until("stopping");
    const refused = { code: "wrong-state", message: /^Cannot hand over: this front starts or stops/ };
    await assert.rejects(askFront(old.control, { command: "offer", socket: "@skink-nobody-is-here" }), refused);
    await assert.rejects(askFront(old.control, { command: "hand-over", pid: (await old.status()).pid }), refused);
    process.kill(driver, "SIGCONT");
    assert.equal((await stopping).clean, true);
  }));

/** Writes a configuration of one device, with what is different about it. */
function configOf(scene: Scene, different: object = {}): string {
  const disk = { name: "disk", spec: VOLATILE, home: "shm", policy: PATIENT, ...different };
  // JSON is YAML, too.
  return scene.write("skink.yaml", JSON.stringify({ devices: [disk] }));
}

/** The same, with a medium in a folder: without it, no driver opens. */
function inFolder(scene: Scene, different: object): { readonly config: string; readonly folder: string } {
  const folder = scene.path("store");
  mkdirSync(folder);
  const spec = `${VOLATILE}&path=${folder}/disk.img`;
  return { config: configOf(scene, { spec, policy: HASTY, ...different }), folder };
}

/** The driver stands still from now on. Returns its process. */
async function stopDriver(front: Front): Promise<number> {
  const { driver } = await front.until("live");
  process.kill(driver.pid as number, "SIGSTOP");
  return driver.pid as number;
}

function sector(value: number): Uint8Array {
  return new Uint8Array(SECTOR_BYTES).fill(value);
}

/** Has a write to the first sector acknowledged, and not flushed. */
async function put(front: Front, value: number): Promise<void> {
  const client = await NbdClient.connect(front.uri);
  await client.write(0, sector(value));
  await client.close();
}

async function get(front: Front): Promise<Uint8Array> {
  const client = await NbdClient.connect(front.uri);
  const found = await client.read(0, SECTOR_BYTES);
  await client.close();
  return found;
}

/** Whatever came before, the front serves, is taken over from, and its disk begins with that. Nothing stays behind. */
async function takesOverStill(scene: Scene, old: Front, value: number): Promise<void> {
  const next = await takeOver(scene, old, configOf(scene), { args: GUARD });
  assert.deepEqual(await get(next), sector(value));
  await next.stop();
  assert.deepEqual(await scene.leftovers(), []);
}

test("a client that is still sending when the old front lets go harms nobody", () =>
  inScene(async (scene) => {
    const old = await serve(scene, "memory:8M", { args: GUARD });
    const socket = connect({ path: scene.path("nbd") });
    // It is cut off in the middle.
    socket.on("error", () => {});
    scene.defer(() => void socket.destroy());
    await once(socket, "data");
    socket.write(encodeClientFlags({ fixedNewstyle: true, noZeroes: true }));
    socket.write(encodeOption(OPTION.EXPORT_NAME, Buffer.from("memory")));
    await once(socket, "data");
    const length = 16 << 10;
    const request = new Uint8Array(REQUEST_BYTES);
    const header = { flags: 0, type: COMMAND.WRITE, cookieHigh: 0, cookieLow: 1, offset: 0, length };
    encodeRequest(viewOf(request), 0, header);
    socket.write(request);
    socket.write(new Uint8Array(length / 2));
    // Until it is cut off: some bytes of the rest, again and again.
    const dribble = setInterval(() => socket.write(new Uint8Array(4)), 1);
    scene.defer(() => clearInterval(dribble));
    const front = await takeOver(scene, old, "memory:8M", { args: GUARD });
    await front.stop();
  }));
