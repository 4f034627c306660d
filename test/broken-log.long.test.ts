import { strict as assert } from "node:assert";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NbdClient } from "../src/nbd/index.ts";
import { inScene } from "./scene.ts";
import { serve } from "./serve.ts";

const BREAKER = fileURLToPath(new URL("./log-breaker.ts", import.meta.url));
const BLOCK = 4096;

const block = (fill: number): Uint8Array => new Uint8Array(BLOCK).fill(fill);

test("what is left in a log that broke down is never written over what the store has by then", () =>
  inScene(async (scene) => {
    const log = scene.path("disk.log");
    const image = scene.path("disk.img");
    const spec = `file:${image}?size=1M`;
    const home = ["--home", `disk:${log}?size=96M`];
    const first = await serve(scene, spec, { args: home, nodeOptions: `--import=${BREAKER}` });
    const client = await NbdClient.connect(first.uri);
    await client.write(0, block(1));
    await client.flush();
    const broken = scene.write("disk.log.broken", "");
    await assert.rejects(client.write(BLOCK, block(2)), { code: "EIO" });
    await client.close();
    const { code, stderr } = await first.end("SIGTERM");
    assert.equal(code, 1);
    assert.match(stderr, /stopped, but not cleanly: .*the log \S+disk\.log can't be emptied, .* remove it before/);

    // The store goes on without the log, which is mended, and used again.
    const fd = openSync(image, "r+");
    writeSync(fd, block(3), 0, BLOCK, 0);
    closeSync(fd);
    rmSync(broken);
    const second = await serve(scene, spec, { args: home });
    const reader = await NbdClient.connect(second.uri);
    assert.deepEqual(new Uint8Array(await reader.read(0, BLOCK)), block(3));
    await reader.write(0, block(4));
    await reader.close();
    await second.end("SIGKILL");

    const third = await serve(scene, spec, { args: home });
    const last = await NbdClient.connect(third.uri);
    assert.deepEqual(new Uint8Array(await last.read(0, BLOCK)), block(4), "what is put into it from then on counts");
    await last.close();
    await third.stop();
  }));
