import { strict as assert } from "node:assert";
import { closeSync, openSync, writeSync } from "node:fs";
import { test } from "node:test";
import { HEADER_BYTES } from "../src/home/log/format.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";

/** A log in which nothing of the two headers is left, and records are. */
function damage(path: string): void {
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.alloc(2 * HEADER_BYTES, 0x5a), 0, 2 * HEADER_BYTES, 0);
  closeSync(fd);
}

test("a device whose log is damaged is failed, says why, and keeps no other from its clients", () =>
  inScene(async (scene) => {
    const yaml = [
      "devices:",
      `  - { name: well, spec: "memory:1M" }`,
      `  - { name: ill, spec: "${EXAMPLES}/volatile.ts?size=1M&path=${scene.path("ill.img")}", home: "disk:${scene.path("ill.log")}?size=96M" }`,
    ].join("\n");
    const config = scene.write("two.yaml", yaml);
    const before = await serve(scene, config, { devices: 2 });
    await before.stop();
    damage(scene.path("ill.log"));

    const front = await serve(scene, config, { devices: 1 });
    const { devices } = await front.status();
    assert.deepEqual(
      devices.map(({ name, state }) => [name, state]),
      [
        ["well", "live"],
        ["ill", "failed"],
      ],
    );
    assert.match(devices[1]?.reason ?? "", /ill\.log: .*"skink log inspect /);
    const [well] = front.ready;
    const client = await NbdClient.connect(well?.uri ?? "");
    await client.write(0, new Uint8Array(4096));
    await client.close();
    await assert.rejects(NbdClient.connect((well?.uri ?? "").replace("/well?", "/ill?")));
    await front.stop();
  }));

test("a front that has nothing else to serve ends, with one line", () =>
  inScene(async (scene) => {
    const log = scene.path("ill.log");
    const args = ["--home", `disk:${log}?size=96M`];
    const front = await serve(scene, "memory:1M", { args });
    await front.stop();
    damage(log);
    const { code, stderr } = await scene.skink("serve", "memory:1M", ...args, "--socket", scene.path("s"));
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot take up the log .*ill\.log: .*shows what stands in it$/m);
  }));
