import { strict as assert } from "node:assert";
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

/** qemu-io ends with 0 whatever its commands say; a pattern that isn't there, or an error, it says in words. */
async function qemuIo(scene: Scene, uri: string, commands: readonly string[]): Promise<void> {
  const args = commands.flatMap((command) => ["-c", command]);
  const { code, stdout, stderr } = await scene.run("qemu-io", ["-f", "raw", ...args, uri]);
  const said = `${commands.join("; ")}: ${stdout}${stderr}`;
  assert.equal(code, 0, said);
  assert.doesNotMatch(said, /fail|error|cannot/i);
}
