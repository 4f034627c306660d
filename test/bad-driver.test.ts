import { strict as assert } from "node:assert";
import { test } from "node:test";
import { NbdClient } from "../src/nbd/index.ts";
import { inScene } from "./scene.ts";
import { serve } from "./serve.ts";

const METHODS = ["read", "write", "flush", "trim", "zero", "extents"] as const;

/** A driver whose every method does the same. */
function failing(how: string): string {
  const methods = METHODS.map((name) => `${name}() { ${how} }`);
  return `export default { open: () => ({ size: 1 << 20, ${methods.join(", ")} }) };`;
}

for (const [what, how, code] of [
  ["throws", "throw new Error('no luck today');", "EIO"],
  ["rejects", "return Promise.reject(new Error('no luck today'));", "EIO"],
  ["throws ENOSPC", "throw Object.assign(new Error('full'), { code: 'ENOSPC' });", "ENOSPC"],
] as const) {
  test(`a method that ${what} fails its request alone, with ${code}`, () =>
    inScene(async (scene) => {
      const front = await serve(scene, scene.write("failing.ts", failing(how)));
      const client = await NbdClient.connect(front.uri);
      const { epoch } = await front.device();
      const expected = { code };
      await assert.rejects(client.read(0, 512), expected);
      await assert.rejects(client.write(0, new Uint8Array(512)), expected);
      await assert.rejects(client.write(0, new Uint8Array(512), { fua: true }), expected);
      await assert.rejects(client.trim(0, 4096), expected);
      await assert.rejects(client.zero(0, 4096), expected);
      await assert.rejects(client.flush(), expected);
      // What a driver can't say of its extents is data, which is always true.
      await client.blockStatus(0, 4096).catch((error) => assert.equal(error.code, code));
      const device = await front.device();
      assert.equal(device.epoch, epoch, "an error of a request cost an incarnation");
      await client.close();
      await front.stop();
    }));
}

test("an exception outside a call costs the incarnation, and the request is asked again", () =>
  inScene(async (scene) => {
    const source = `
export default {
  open(options, context) {
    const lives = context.keep("lives", 4096);
    return {
      size: 1 << 20,
      read(offset, into) {
        if (offset === 4096 && lives[0]++ === 0) setImmediate(() => { throw new Error("out of the blue"); });
        else return void into.fill(lives[0]);
        return new Promise(() => {});
      },
    };
  },
};
`;
    const front = await serve(scene, scene.write("blue.ts", source));
    const client = await NbdClient.connect(front.uri);
    assert.deepEqual(await client.read(4096, 512), new Uint8Array(512).fill(2));
    const { restarts, recoveries } = await front.device();
    assert.equal(restarts, 1);
    assert.match(recoveries[0]?.reason ?? "", /out of the blue/);
    await client.close();
    await front.stop();
  }));

for (const [what, member] of [
  ["identity", "identity: 'store-' + context.epoch"],
  ["size", "size: seen[0]++ === 0 ? 1 << 20 : 1 << 19"],
  ["block size", "blockSize: seen[0]++ === 0 ? 512 : 4096"],
] as const) {
  test(`a driver that comes back with another ${what} is refused, and the status says why`, () =>
    inScene(async (scene) => {
      const source = `
export default {
  open(options, context) {
    const seen = context.keep("seen", 4096);
    return { size: 1 << 20, ${member}, read(offset, into) { into.fill(0); }, write() {}, flush() {} };
  },
};
`;
      const front = await serve(scene, scene.write("other.ts", source));
      const client = await NbdClient.connect(front.uri);
      await client.write(0, new Uint8Array(512));
      process.kill((await front.device()).driver.pid as number, "SIGKILL");
      const { reason } = await front.until("failed");
      assert.match(reason ?? "", new RegExp(what));
      await assert.rejects(client.read(0, 512), { code: "EIO" });
      client.destroy();
      // The write was acknowledged and has not become durable: the stop has to say so.
      const { code, stderr } = await front.end("SIGTERM");
      assert.equal(code, 1);
      assert.match(stderr, /1 acknowledged piece/);
    }));
}

test("a driver that doesn't open any more is tried again until it does", () =>
  inScene(async (scene) => {
    const source = `
export default {
  open(options, context) {
    const tries = context.keep("tries", 4096);
    if ([1, 2].includes(tries[0]++)) throw new Error("not yet");
    return { size: 1 << 20, read(offset, into) { into.fill(7); } };
  },
};
`;
    const front = await serve(scene, scene.write("later.ts", source));
    const client = await NbdClient.connect(front.uri);
    process.kill((await front.device()).driver.pid as number, "SIGKILL");
    assert.deepEqual(await client.read(0, 512), new Uint8Array(512).fill(7));
    await client.close();
    await front.stop();
  }));
