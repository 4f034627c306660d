/** What foreign servers can do, and what becomes of it behind a front. */
import { strict as assert } from "node:assert";
import { readFileSync, truncateSync } from "node:fs";
import { test } from "node:test";
import { clientOf, DISK_BYTES, newDisk, plugin, WRITE } from "./foreign.ts";
import { peer } from "./peers.ts";
import { inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";

const needsNbdkit = { skip: peer("nbdkit") };

test("FUA, trims and zeroes reach the server as what they are", needsNbdkit, () =>
  inScene(async (scene) => {
    const client = await clientOf(scene, await serve(scene, logged(scene, "memory", `${DISK_BYTES}`)));
    await client.write(0, new Uint8Array(4096).fill(1), { fua: true });
    await client.write(4096, new Uint8Array(4096).fill(2));
    await client.trim(8192, 4096);
    await client.zero(12288, 4096, { mayTrim: true });
    await client.zero(16384, 4096, { mayTrim: false });
    await client.zero(20480, 4096, { fast: true });
    await client.flush();
    const log = readFileSync(scene.path("log"), "utf8");
    for (const call of [
      /Write id=\d+ offset=0x0 count=0x1000 fua=1/,
      /Write id=\d+ offset=0x1000 count=0x1000 fua=0/,
      /Trim id=\d+ offset=0x2000 count=0x1000/,
      /Zero id=\d+ offset=0x3000 count=0x1000 trim=1 fua=0 fast=0/,
      /Zero id=\d+ offset=0x4000 count=0x1000 trim=0 fua=0 fast=0/,
      /Zero id=\d+ offset=0x5000 count=0x1000 trim=1 fua=0 fast=1/,
      /Flush id=\d+/,
    ]) {
      assert.match(log, call);
    }
  }),
);

test("a fast zero that the server has none of is refused, and leaves the range as it was", needsNbdkit, () =>
  inScene(async (scene) => {
    const spec = `exec:nbdkit -f -U {socket} --filter=nozero file ${newDisk(scene)} zeromode=notrim fastzeromode=slow`;
    const client = await clientOf(scene, await serve(scene, spec));
    await client.write(0, new Uint8Array(4096).fill(1));
    await assert.rejects(client.zero(0, 4096, { fast: true }), { code: "ENOTSUP" });
    assert.equal((await client.read(0, 4096))[0], 1);
    await client.zero(0, 4096);
    assert.equal((await client.read(0, 4096))[0], 0);
  }),
);

test("extents are the server's, and what it holds back is data all the same", needsNbdkit, () =>
  inScene(async (scene) => {
    const disk = scene.write("disk.img", "");
    truncateSync(disk, DISK_BYTES);
    // This filter's extents are those of the file below it, which knows nothing of what the filter holds.
    const client = await clientOf(
      scene,
      await serve(scene, `exec:nbdkit -f -U {socket} --filter=cache file ${disk} cache=writeback`),
    );
    assert.deepEqual(await client.blockStatus(0, DISK_BYTES), [{ length: DISK_BYTES, hole: true, zero: true }]);
    await client.write(1 << 20, new Uint8Array(65536).fill(1));
    assert.deepEqual(await client.blockStatus(0, DISK_BYTES), [
      { length: 1 << 20, hole: true, zero: true },
      { length: 65536, hole: false, zero: false },
      { length: DISK_BYTES - (1 << 20) - 65536, hole: true, zero: true },
    ]);
  }),
);

test("a read-only server makes a read-only device", needsNbdkit, () =>
  inScene(async (scene) => {
    const client = await clientOf(scene, await serve(scene, `exec:nbdkit -f -r -U {socket} file ${newDisk(scene)}`));
    assert.equal(client.readOnly, true);
    assert.equal((await client.read(0, 4096)).length, 4096);
  }),
);

test("a server's block size is the device's, and its largest request is kept to", needsNbdkit, () =>
  inScene(async (scene) => {
    const policy = "blocksize-minimum=4096 blocksize-maximum=64K blocksize-error-policy=error";
    const spec = logged(scene, "--filter=blocksize-policy", "file", newDisk(scene), policy);
    const client = await clientOf(scene, await serve(scene, spec));
    assert.equal(client.minimumBlockSize, 4096);
    const data = Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, at) => at >> 12));
    await client.write(4096, data);
    await client.flush();
    const front = await client.read(4096, 1 << 20);
    assert.deepEqual(Buffer.from(front), data);
    const log = readFileSync(scene.path("log"), "utf8");
    assert.equal(log.match(/ Write id=\d+ offset=0x[0-9a-f]+ count=0x10000 /g)?.length, 16);
    assert.equal(log.match(/ Read id=\d+ offset=0x[0-9a-f]+ count=0x10000 /g)?.length, 16);
  }),
);

for (const [what, filters, connections, made] of [
  ["several where a flush covers them all", "", undefined, 2],
  ["as many as are wanted", "", 5, 5],
  ["one where only one is wanted", "", 1, 1],
  ["one where a flush covers only its own", "--filter=multi-conn", 5, 1],
  ["as many as the server lets in", "--filter=limit", 5, 3],
] as const) {
  test(`the connections are ${what}`, needsNbdkit, () =>
    inScene(async (scene) => {
      const command = `${logged(scene, filters, "file", newDisk(scene)).slice("exec:".length)} ${FILTER_OPTIONS[filters]}`;
      const front = await serve(scene, configure(scene, { command, ...(connections && { connections }) }));
      const client = await clientOf(scene, front);
      await client.write(0, new Uint8Array(4096));
      const log = readFileSync(scene.path("log"), "utf8");
      assert.equal(log.match(/ Connect export/g)?.length, made, log);
    }),
  );
}

test("bytes behind the last whole block are left out, and it is said", needsNbdkit, () =>
  inScene(async (scene) => {
    const disk = scene.write("disk.img", new Uint8Array((1 << 20) + 700));
    const front = await serve(scene, `exec:nbdkit -f -U {socket} file ${disk}`);
    assert.equal((await front.device()).size, (1 << 20) + 512);
    await front.logs(/the last 188 of its bytes are no whole block of 512/);
    const client = await clientOf(scene, front);
    await client.write(1 << 20, new Uint8Array(512).fill(9));
    await client.flush();
    assert.deepEqual([...readFileSync(disk).subarray((1 << 20) + 511, (1 << 20) + 513)], [9, 0]);
  }),
);

test("a server that takes writes and has no flush is refused, but for reading", needsNbdkit, () =>
  inScene(async (scene) => {
    const spec = `exec:nbdkit -f -U {socket} eval get_size='echo 1048576' pread='head -c $3 /dev/zero' pwrite='cat'`;
    const sockets = ["--socket", scene.path("nbd"), "--control", scene.path("control")];
    const { code, stderr } = await scene.skink("serve", spec, ...sockets, "--log-level", "error");
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot use the NBD server as a driver: it takes writes and has no flush[^\n]*\n$/);
    const client = await clientOf(scene, await serve(scene, spec, { args: ["--read-only"] }));
    assert.deepEqual(await client.read(0, 512), new Uint8Array(512));
  }),
);

test("a server that is shutting down is given up, and no client hears of it", needsNbdkit, () =>
  inScene(async (scene) => {
    const disk = newDisk(scene);
    const asked = scene.path("asked");
    const script = `if mkdir ${asked} 2>/dev/null; then cat >/dev/null; echo ESHUTDOWN going down >&2; exit 1; fi; ${WRITE}`;
    const front = await serve(scene, `exec:nbdkit -f -U {socket} sh ${plugin(scene, disk, script)}`);
    const client = await clientOf(scene, front);
    await client.write(4096, new Uint8Array(4096).fill(3));
    assert.equal((await client.read(4096, 512))[0], 3);
    const { restarts, recoveries, counters } = await front.device();
    assert.equal(restarts, 1);
    assert.match(recoveries[0]?.reason ?? "", /the NBD server is shutting down/);
    assert.equal(counters.errors, 0);
  }),
);

test("a planned restart loses nothing, and has nothing to replay", needsNbdkit, () =>
  inScene(async (scene) => {
    const front = await serve(
      scene,
      `exec:nbdkit -f -U {socket} --filter=cache file ${newDisk(scene)} cache=writeback`,
    );
    const client = await clientOf(scene, front);
    await client.write(0, new Uint8Array(65536).fill(6));
    const before = await front.device();
    const { code } = await scene.skink("restart", front.name, "--control", front.control);
    assert.equal(code, 0);
    const after = await front.device();
    assert.equal(after.epoch, before.epoch + 1);
    assert.notEqual(after.driver.pid, before.driver.pid);
    assert.equal(after.counters.replayedPieces, 0);
    assert.equal((await client.read(65024, 512)).at(-1), 6);
  }),
);

const FILTER_OPTIONS: Record<string, string> = {
  "": "",
  "--filter=multi-conn": "multi-conn-mode=disable",
  "--filter=limit": "limit=3",
};

/** nbdkit with a log of its calls in the scene. */
function logged(scene: Scene, ...args: string[]): string {
  return `exec:nbdkit -f -U {socket} --filter=log ${args.join(" ")} logfile=${scene.path("log")}`;
}

function configure(scene: Scene, options: object): string {
  return scene.write("skink.yaml", JSON.stringify({ devices: [{ name: "disk", driver: "exec", options }] }));
}
