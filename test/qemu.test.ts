import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { peer } from "./peers.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";

test("qemu-io reads back what it wrote, zeroed and discarded, over a kill", { skip: peer("qemu-io") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=16M`);
    await qemuIo(scene, front.uri, ["write -P 0xab 0 1M", "write -P 0xcd 512 4608", "write -z 64k 64k", "aio_flush"]);
    await front.killDriver();
    await qemuIo(scene, front.uri, ["read -P 0xab 0 512", "read -P 0xcd 512 4608", "read -P 0xab 5120 60416"]);
    await qemuIo(scene, front.uri, ["read -P 0 64k 64k", "read -P 0xab 128k 896k", "read -P 0 1M 1M"]);
    await qemuIo(scene, front.uri, ["write -f -P 0x11 8M 2M", "flush", "discard 8M 1M"]);
    await front.killDriver();
    await qemuIo(scene, front.uri, ["read -P 0x11 9M 1M"]);
    assert.equal((await front.device()).counters.errors, 0);
    await front.stop();
  }),
);

test("qemu-img brings an image in, compares it, and sees the holes of a file", { skip: peer("qemu-img") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `file:${scene.path("disk.img")}?size=16M`);
    const image = Buffer.alloc(16 << 20);
    image.fill("skink", 0, 1 << 20).fill("tail", 4 << 20, 5 << 20);
    const from = scene.write("in.img", image);
    await scene.need("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", from, front.uri]);
    await front.killDriver();
    await scene.need("qemu-img", ["compare", "-f", "raw", "-F", "raw", from, front.uri]);

    const map = JSON.parse(await scene.need("qemu-img", ["map", "--output=json", "-f", "raw", front.uri])) as {
      start: number;
      length: number;
      zero: boolean;
    }[];
    const data = map.filter(({ zero }) => !zero).map(({ start, length }) => [start, length]);
    assert.deepEqual(data, [
      [0, 1 << 20],
      [4 << 20, 1 << 20],
    ]);
    const info = JSON.parse(await scene.need("qemu-img", ["info", "--output=json", "-f", "raw", front.uri])) as {
      "virtual-size": number;
    };
    assert.equal(info["virtual-size"], 16 << 20);
    await front.stop();
  }),
);

test(
  "qemu-img takes images of other formats in and out, and finds a difference",
  { skip: peer("qemu-img", "qemu-io") },
  () =>
    inScene(async (scene) => {
      const front = await serve(scene, "memory:8M");
      const image = Buffer.alloc(8 << 20);
      image.fill("skink", 1 << 20, 3 << 20);
      const raw = scene.write("in.img", image);
      const qcow2 = scene.path("in.qcow2");
      await scene.need("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, qcow2]);
      await scene.need("qemu-img", ["convert", "-n", "-W", "-m", "8", "-f", "qcow2", "-O", "raw", qcow2, front.uri]);
      await scene.need("qemu-img", ["compare", "-f", "qcow2", "-F", "raw", qcow2, front.uri]);
      await scene.need("qemu-img", ["convert", "-f", "raw", "-O", "raw", front.uri, scene.path("out.img")]);
      assert.ok(image.equals(readFileSync(scene.path("out.img"))), "what came out differs");

      await qemuIo(scene, front.uri, ["write -P 0x77 2M 512"]);
      const { code, stdout } = await scene.run("qemu-img", ["compare", "-f", "raw", "-F", "raw", raw, front.uri]);
      assert.equal(code, 1);
      assert.match(stdout, /mismatch at offset 2097152/);
      await front.stop();
    }),
);

test(
  "qemu-io finds a pattern that is not there, and every request of a batch answered",
  { skip: peer("qemu-io") },
  () =>
    inScene(async (scene) => {
      const front = await serve(scene, "memory:8M");
      await qemuIo(scene, front.uri, ["writev -P 0x21 0 4k 8k 512 64k", "read -P 0x21 0 78336", "read -P 0 78336 4k"]);
      await qemuIo(scene, front.uri, ["aio_write -P 1 1M 64k", "aio_write -P 2 2M 64k", "aio_read 0 64k", "aio_flush"]);
      await qemuIo(scene, front.uri, ["read -P 1 1M 64k", "read -P 2 2M 64k", "discard 1M 64k", "write -z -u 2M 64k"]);
      await qemuIo(scene, front.uri, ["read -P 0 2M 64k", "flush"]);
      const { stdout } = await scene.run("qemu-io", ["-f", "raw", "-c", "read -P 0x22 0 4k", front.uri]);
      assert.match(stdout, /Pattern verification failed/);
      await front.stop();
    }),
);

test("qemu-nbd --list shows each device with what it can do", { skip: peer("qemu-nbd") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:8M", { args: ["--name", "disk"] });
    const listed = await scene.need("qemu-nbd", ["--list", `--socket=${scene.path("nbd")}`]);
    assert.match(listed, /exports available: 1\n export: 'disk'\n/);
    assert.match(listed, /size: {2}8388608\n/);
    const [, flags = ""] = /flags: 0x[0-9a-f]+ \(([^)]*)\)/.exec(listed) ?? [];
    const found = new Set(flags.trim().split(" "));
    for (const flag of ["flush", "fua", "trim", "zeroes", "df", "multi", "cache", "fast-zero"])
      assert.ok(found.has(flag), `${flag} is not in ${flags}`);
    assert.ok(!found.has("readonly"));
    assert.match(listed, /min block: 512\n/);
    assert.match(listed, /max block: 33554432\n/);
    assert.match(listed, /available meta contexts: 1\n {3}base:allocation\n/);
    await front.stop();
  }),
);

/** qemu-io ends with 0 whatever its commands say; a pattern that isn't there, or an error, it says in words. */
async function qemuIo(scene: Scene, uri: string, commands: readonly string[]): Promise<void> {
  const args = commands.flatMap((command) => ["-c", command]);
  const { code, stdout, stderr } = await scene.run("qemu-io", ["-f", "raw", ...args, uri]);
  const said = `${commands.join("; ")}: ${stdout}${stderr}`;
  assert.equal(code, 0, said);
  assert.doesNotMatch(said, /fail|error|cannot/i);
}
