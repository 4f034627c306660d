/** Storms over foreign servers: those that Skink starts, and those that somebody else kills and starts again. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { SeededRandom } from "../src/block/random.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { verify } from "./fio.ts";
import { Killer } from "./killer.ts";
import { DISK_BYTES, Load } from "./load.ts";
import { peer } from "./peers.ts";
import { familyOf } from "./processes.ts";
import { RemoteServer } from "./remote-server.ts";
import { inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";
import { storm, withSeed } from "./storm.ts";
import { within } from "./until.ts";

const KILLS = 12;
/** What qemu-img check says of clusters that nobody uses: the rest of a write that a kill cut short. */
const LEAKS_ONLY = 3;
const MAX_LIFE_MS = 150;
const MAX_ABSENCE_MS = 80;
const KILL_AFTER_LIVE_MS = 100;
const REPLY_TIMEOUT_MS = 10_000;
/** After a server is back: less than any pause that is made for its sake. */
const QUICK_MS = 1000;

test("a storm of kills loses nothing of nbdkit's file", { skip: peer("nbdkit") }, () =>
  inScene(async (scene) => {
    const disk = newDisk(scene);
    checkMedium(await storm(scene, `exec:nbdkit -f -U {socket} file ${disk}`, { kills: KILLS }), disk);
  }),
);

test("a storm of kills loses nothing that a caching filter had acknowledged", { skip: peer("nbdkit") }, () =>
  inScene(async (scene) => {
    const disk = newDisk(scene);
    const spec = `exec:nbdkit -f -U {socket} --filter=cache file ${disk} cache=writeback`;
    checkMedium(await storm(scene, spec, { kills: KILLS }), disk);
  }),
);

test("a storm of kills loses nothing of a qcow2 image with a cache", { skip: peer("qemu-nbd", "qemu-img") }, () =>
  inScene(async (scene) => {
    const image = scene.path("disk.qcow2");
    await scene.need("qemu-img", ["create", "-q", "-f", "qcow2", image, `${DISK_BYTES}`]);
    // An image that is locked still, by a server that isn't gone, would not open.
    const spec = `exec:qemu-nbd --persistent --shared=4 -f qcow2 --cache=writeback --discard=unmap -k {socket} ${image}`;
    const load = await storm(scene, spec, { kills: KILLS });
    const { code, stdout, stderr } = await scene.run("qemu-img", ["check", "-q", image]);
    assert.ok(code === 0 || code === LEAKS_ONLY, `${stderr}${stdout}`);
    await scene.need("qemu-img", ["convert", "-O", "raw", image, scene.path("disk.raw")]);
    checkMedium(load, scene.path("disk.raw"));
  }),
);

test("a storm on any process of a command loses nothing", { skip: peer("nbdkit") }, () =>
  inScene(async (scene) => {
    const disk = newDisk(scene);
    const end = (pid: number, random: SeededRandom): void => {
      const family = familyOf(pid);
      const choice = random.below(family.length + 1);
      process.kill(family[choice] ?? -pid, "SIGKILL");
    };
    // Three processes: a shell, another one, and the server. Each of them dies first at times, or all of them at once.
    const spec = `exec:sh -c 'nbdkit -f -U {socket} --filter=cache file ${disk} & wait'; true`;
    checkMedium(await storm(scene, spec, { kills: KILLS, end }), disk);
  }),
);

test("fio finds every write that killed servers had in their caches", { skip: peer("fio", "nbdkit") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `exec:nbdkit -f -U {socket} --filter=cache file ${newDisk(scene, 16 << 20)}`);
    const killer = new Killer(front, KILL_AFTER_LIVE_MS);
    for (let round = 1; killer.kills < KILLS; round++) await verify(scene, front.uri, { round, size: "16M" });
    await killer.stop();
    const { counters, restarts } = await front.device();
    assert.equal(counters.errors, 0);
    assert.equal(restarts, killer.kills);
    assert.ok(counters.replayedPieces > 0, "the kills lost nothing, so they proved nothing");
    await front.stop();
  }),
);

test("nothing is lost when somebody else kills and restarts a remote server", { skip: peer("nbdkit") }, () =>
  inScene((scene) =>
    withSeed("a storm over a remote server", async (seed) => {
      const disk = newDisk(scene);
      const server = new RemoteServer(scene, ["nbdkit", "-f", "--filter=cache", "file", disk]);
      await server.start();
      const front = await serve(scene, `nbd+unix:///?socket=${server.socket}`);
      const load = await Load.start(scene, front.uri, seed);
      const random = new SeededRandom(seed + 1);
      for (let count = 0; count < KILLS && !load.hasFailed; count++) {
        await sleep(random.below(MAX_LIFE_MS));
        await server.kill();
        await sleep(random.below(MAX_ABSENCE_MS));
        await server.start();
      }
      await load.stop();
      await load.readAll();
      await load.close();
      const { counters, restarts, driver } = await front.device();
      assert.equal(counters.errors, 0);
      assert.ok(restarts > 0 && restarts <= KILLS);
      assert.equal(driver.pid, null);
      await front.stop();
      // It wasn't Skink's to end, and Skink has flushed.
      assert.equal(server.runs, true);
      checkMedium(load, disk);
    }),
  ),
);

test("a remote server that is back is served from at once", { skip: peer("nbdkit") }, () =>
  inScene(async (scene) => {
    const server = new RemoteServer(scene, ["nbdkit", "-f", "file", newDisk(scene)]);
    await server.start();
    const front = await serve(scene, `nbd+unix:///?socket=${server.socket}`);
    const client = await NbdClient.connect(front.uri);
    scene.defer(() => client.destroy());
    await client.write(0, Buffer.alloc(4096, "before"));
    const { epoch } = await front.device();
    await server.kill();
    await front.until("recovering");
    const written = client.write(4096, Buffer.alloc(4096, "while it was away"));
    await server.start();
    const since = performance.now();
    await within("the write", REPLY_TIMEOUT_MS, written);
    assert.ok(performance.now() - since < QUICK_MS);
    assert.ok(epoch < (await front.until("live")).epoch);
    assert.deepEqual(Buffer.from(await client.read(0, 4096)), Buffer.alloc(4096, "before"));
    await client.close();
    await front.stop();
  }),
);

function newDisk(scene: Scene, bytes: number = DISK_BYTES): string {
  return scene.write("disk.img", new Uint8Array(bytes));
}

/** After a stop, all that was acknowledged is there. */
function checkMedium(load: Load, file: string): void {
  load.checkBytes(readFileSync(file));
}
