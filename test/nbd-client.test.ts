import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Machine, skinkOn } from "./machine.ts";
import { peer } from "./peers.ts";
import { inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";

const YAML = `
devices:
  - { name: one, spec: "memory:1M" }
  - { name: two, spec: "memory:2M" }
`;

for (const [transport, listener, server] of [
  ["TCP", ["--port", "0"], (_scene: Scene, uri: string) => ["127.0.0.1", new URL(uri).port]],
  ["a unix socket", [], (scene: Scene) => ["-unix", scene.path("nbd")]],
] as const) {
  test(`nbd-client -l lists every device over ${transport}`, { skip: peer("nbd-client") }, () =>
    inScene(async (scene) => {
      const spec = scene.write("skink.yaml", YAML);
      const front = await serve(scene, spec, { args: listener, devices: 2, ownListener: listener.length > 0 });
      const said = await scene.need("nbd-client", ["-l", ...server(scene, front.uri)]);
      assert.deepEqual(said.trim().split("\n").slice(1), ["one", "two"]);
      await front.stop();
    }),
  );
}

test(
  "nbd-client takes the arguments of skink attach, and agrees with the front: no more is missing than a kernel",
  {
    skip: peer("nbd-client", "root", "unshare"),
  },
  () =>
    inScene(async (scene) => {
      const front = await serve(scene, "memory:1M", { args: ["--name", "disk"] });
      const machine: Machine = { driver: true, devices: { nbd0: "block" }, client: "real" };
      const attach = ["attach", "disk", "/dev/nbd0", "--control", front.control, "--connections", "3"];
      const { code, stderr } = await skinkOn(scene, machine, ...attach);
      assert.equal(code, 1);
      // It asks the kernel when it has opened and negotiated every connection.
      assert.match(stderr, /nbd-client says: Error: Couldn't resolve the nbd netlink family/);
      await front.stop();
    }),
);
