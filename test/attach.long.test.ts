import { strict as assert } from "node:assert";
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { loopDevicesOn } from "./leftovers.ts";
import { type Machine, skinkOn } from "./machine.ts";
import { peer } from "./peers.ts";
import { inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";

const needs = peer("root", "unshare");
const AS_THE_KERNELS = { driver: true, devices: { nbd0: "block" } } as const;

/** The arguments that nbd-client was run with. */
function recorded(scene: Scene): string[] {
  return readFileSync(scene.path("arguments"), "utf8").split("\n").slice(0, -1);
}

test("attach gives nbd-client the device's socket, name and block size", { skip: needs }, () =>
  inScene(async (scene) => {
    const driver = "export default { open: () => ({ size: 1 << 20, blockSize: 4096, read(offset, into) {} }) };";
    const front = await serve(scene, scene.write("coarse.ts", driver), { args: ["--name", "disk"] });
    const attach = ["attach", "disk", "/dev/nbd0", "--control", front.control];
    const { code, stdout, stderr } = await skinkOn(scene, AS_THE_KERNELS, ...attach, "--connections", "2");
    assert.deepEqual([code, stdout, stderr], [0, "attached disk /dev/nbd0\n", ""]);
    const options = ["-name", "disk", "-block-size", "4096", "-connections", "2", "-timeout", "86400", "-persist"];
    assert.deepEqual(recorded(scene), ["-unix", scene.path("nbd"), "/dev/nbd0", ...options]);
    await front.stop();
  }),
);

test("attach takes the URI of any export, without asking a front", { skip: needs }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M", { args: ["--port", "0", "--name", "disk"], ownListener: true });
    const { code, stderr } = await skinkOn(scene, AS_THE_KERNELS, "attach", front.uri, "/dev/nbd0");
    assert.equal(code, 0, stderr);
    assert.deepEqual(recorded(scene).slice(0, 5), ["127.0.0.1", new URL(front.uri).port, "/dev/nbd0", "-name", "disk"]);
    await front.stop();
  }),
);

test("attach loads the kernel's driver where it isn't", { skip: needs }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M", { args: ["--name", "disk"] });
    const machine: Machine = { ...AS_THE_KERNELS, driver: "a module" };
    const { code, stderr } = await skinkOn(scene, machine, "attach", "disk", "/dev/nbd0", "--control", front.control);
    assert.equal(code, 0, stderr);
    await front.stop();
  }),
);

for (const [what, machine, device, says] of [
  [
    "no driver in the kernel",
    { driver: false },
    "nbd0",
    "this kernel has no nbd driver, docs/attach.md has the way with",
  ],
  ["no such device", AS_THE_KERNELS, "nbd1", "there is no /dev/nbd1, "],
  [
    "a file instead of the device",
    { driver: true, devices: { nbd0: "file" } },
    "nbd0",
    "/dev/nbd0 is no block device, ",
  ],
  ["a device that is taken", { ...AS_THE_KERNELS, attached: ["nbd0"] }, "nbd0", "/dev/nbd0 is attached already, "],
  ["no nbd-client", { ...AS_THE_KERNELS, client: "none" }, "nbd0", "there is no nbd-client, that of Debian's package"],
  ["an nbd-client that fails", { ...AS_THE_KERNELS, client: "fails" }, "nbd0", "nbd-client says: Error: no luck\n"],
] satisfies [string, Machine, string, string][]) {
  test(`attach to a machine with ${what} says so in one line`, { skip: needs }, () =>
    inScene(async (scene) => {
      const front = await serve(scene, "memory:1M", { args: ["--name", "disk"] });
      const attach = ["attach", "disk", `/dev/${device}`, "--control", front.control];
      const { code, stdout, stderr } = await skinkOn(scene, machine, ...attach);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.ok(stderr.startsWith(`Cannot attach disk to /dev/${device}: ${says}`), stderr);
      assert.match(stderr, /^[^\n]+\n$/);
      await front.stop();
    }),
  );
}

test("attach names the devices that there are, before it looks at the kernel", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M", { args: ["--name", "disk"] });
    const { code, stderr } = await scene.skink("attach", "dusk", "/dev/nbd0", "--control", front.control);
    assert.equal(code, 1);
    assert.equal(stderr, "Cannot attach dusk to /dev/nbd0: there is no such device, one of disk was wanted\n");
    await front.stop();
  }));

test("attach without a front says so", () =>
  inScene(async (scene) => {
    const { code, stderr } = await scene.skink("attach", "disk", "/dev/nbd0", "--control", scene.path("control"));
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot ask the front at [^\n]*\n$/);
  }));

for (const command of ["attach disk", "detach"]) {
  test(`${command} to what is no nbd device is bad usage`, () =>
    inScene(async (scene) => {
      for (const device of ["/dev/sda", "nbd0", "/dev/nbd0p1", "/dev/nbd/../sda"]) {
        const { code, stderr } = await scene.skink(...command.split(" "), device);
        assert.equal(code, 2, device);
        assert.match(stderr, /^Cannot (attach|detach) [^\n]*: [^\n]* is no nbd device, [^\n]*\n$/);
      }
    }));
}

test("detach takes the device from the kernel", { skip: needs }, () =>
  inScene(async (scene) => {
    const machine: Machine = { ...AS_THE_KERNELS, attached: ["nbd0"] };
    const { code, stderr } = await skinkOn(scene, machine, "detach", "/dev/nbd0");
    assert.equal(code, 0, stderr);
    assert.deepEqual(recorded(scene), ["-d", "/dev/nbd0"]);
  }),
);

test("detach refuses a device that isn't attached, forced or not", { skip: needs }, () =>
  inScene(async (scene) => {
    for (const force of [[], ["--force"]]) {
      const { code, stderr } = await skinkOn(scene, AS_THE_KERNELS, "detach", "/dev/nbd0", ...force);
      assert.equal(code, 1);
      assert.match(stderr, /^Cannot detach \/dev\/nbd0: it is not attached, [^\n]*\n$/);
    }
  }),
);

test(
  "detach leaves a device alone that is in use, unless it is forced",
  { skip: peer("root", "unshare", "loop") },
  () =>
    inScene(async (scene) => {
      // A loop device plays the nbd device that is mounted: the kernel lets the same number of users have it.
      const image = scene.write("image", new Uint8Array(1 << 20));
      const loop = (await scene.need("losetup", ["--find", "--show", image])).trim() as `/dev/loop${number}`;
      const user = openSync(loop, constants.O_RDONLY | constants.O_EXCL);
      scene.defer(async () => {
        closeSync(user);
        for (const device of loopDevicesOn(scene.folder)) await scene.need("losetup", ["--detach", device]);
      });
      const machine: Machine = { driver: true, devices: { nbd0: loop }, attached: ["nbd0"] };
      const refused = await skinkOn(scene, machine, "detach", "/dev/nbd0");
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /^Cannot detach \/dev\/nbd0: it is in use, [^\n]*--force[^\n]*\n$/);
      const { code, stderr } = await skinkOn(scene, machine, "detach", "/dev/nbd0", "--force");
      assert.equal(code, 0, stderr);
      assert.deepEqual(recorded(scene), ["-d", "/dev/nbd0"]);
    }),
);
