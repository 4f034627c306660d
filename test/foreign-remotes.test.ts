/** Servers that somebody else runs: nobody can kill them, so nothing that they have in hand may be forgotten. */
import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import type { NbdClient } from "../src/nbd/index.ts";
import type { Policy } from "../src/supervisor/policy.ts";
import { clientOf, DISK_BYTES, newDisk, plugin, WRITE } from "./foreign.ts";
import { peer } from "./peers.ts";
import { RemoteServer } from "./remote-server.ts";
import { inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";
import { until } from "./until.ts";

const EVENT_TIMEOUT_MS = 5000;
/** Longer than a server that is waited for with a limit is waited for. */
const REAP_TIMEOUT_MS = 1500;
const PATIENCE: Partial<Policy> = { reapTimeoutMs: REAP_TIMEOUT_MS };

const needsNbdkit = { skip: peer("nbdkit") };

test("a server is reached over TCP", needsNbdkit, () =>
  inScene(async (scene) => {
    const port = await freePort();
    scene.spawn("nbdkit", ["-f", "-i", "127.0.0.1", "-p", `${port}`, "file", newDisk(scene)]);
    const front = await until("the server to listen", EVENT_TIMEOUT_MS, () =>
      serve(scene, `nbd://127.0.0.1:${port}/`).catch(() => undefined),
    );
    const client = await clientOf(scene, front);
    await client.write(0, new Uint8Array(65536).fill(4));
    const { epoch } = await front.device();
    // Nothing is unanswered, so nothing is waited for.
    await scene.skink("kill", front.name, "--control", front.control);
    assert.equal((await client.read(0, 512))[0], 4);
    assert.equal((await front.until("live", epoch)).restarts, 1);
  }),
);

test("a server is reached with TLS, and again after its death", { skip: peer("nbdkit", "psktool") }, () =>
  inScene(async (scene) => {
    const keys = scene.path("keys.psk");
    await scene.need("psktool", ["-u", "alice", "-p", keys]);
    const tls = ["--tls=require", `--tls-psk=${keys}`];
    const server = new RemoteServer(scene, ["nbdkit", "-f", ...tls, "file", newDisk(scene)]);
    await server.start();
    const front = await serve(scene, `nbds+unix://alice@/?socket=${server.socket}&tls-psk-file=${keys}&settle=1ms`);
    const client = await clientOf(scene, front);
    await client.write(0, new Uint8Array(65536).fill(6));
    await server.kill();
    await server.start();
    assert.equal((await client.read(0, 65536))[65535], 6);
    assert.equal((await front.device()).restarts, 1);
    await client.close();
    await front.stop();
  }),
);

test("a remote server that isn't there at the start is an error at once", () =>
  inScene(async (scene) => {
    const spec = `nbd+unix:///?socket=${scene.path("nowhere")}`;
    const { code, stderr } = await scene.skink("serve", spec, "--control", scene.path("control"));
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot connect to the NBD server at [^\n]*nowhere[^\n]*\n$/);
  }));

test("a server for one client at a time lets the next incarnation in", needsNbdkit, () =>
  inScene(async (scene) => {
    const server = new RemoteServer(scene, ["nbdkit", "-f", "--filter=limit", "file", newDisk(scene), "limit=1"]);
    await server.start();
    const front = await serve(scene, `nbd+unix:///?socket=${server.socket}&exclusive`);
    const client = await clientOf(scene, front);
    await client.write(0, new Uint8Array(512).fill(5));
    const { epoch } = await front.device();
    await scene.skink("kill", front.name, "--control", front.control);
    assert.equal((await client.read(0, 512))[0], 5);
    await front.until("live", epoch);
  }),
);

test("a write that a remote server has in hand is waited for, and lands under no newer one", needsNbdkit, () =>
  inScene(async (scene) => {
    const disk = newDisk(scene);
    const [asked, goOn] = [scene.path("asked"), scene.path("go-on")];
    const script = `if mkdir ${asked} 2>/dev/null; then while [ ! -e ${goOn} ]; do sleep 0.02; done; fi; ${WRITE}`;
    const server = new RemoteServer(scene, ["nbdkit", "-f", "sh", plugin(scene, disk, script)]);
    await server.start();
    const front = await serve(scene, patient(scene, server));
    const client = await clientOf(scene, front);
    const older = client.write(0, new Uint8Array(4096).fill(1));
    await until("the server to have it in hand", EVENT_TIMEOUT_MS, () => (existsSync(asked) ? true : undefined));
    await scene.skink("kill", front.name, "--control", front.control);
    const { reason, epoch } = await front.until("held");
    assert.match(reason ?? "", /not reaped yet/);
    scene.write("go-on", "");
    await older;
    assert.ok((await front.until("live", epoch)).restarts > 0);
    await client.write(0, new Uint8Array(4096).fill(2));
    await client.flush();
    assert.deepEqual([readFileSync(disk)[0], (await client.read(0, 512))[0]], [2, 2]);
  }),
);

test("a remote server that hangs holds the device, until it answers", needsNbdkit, () =>
  inScene(async (scene) => {
    const server = new RemoteServer(scene, ["nbdkit", "-f", "file", newDisk(scene)]);
    await server.start();
    const front = await serve(scene, patient(scene, server));
    const client = await clientOf(scene, front);
    await client.write(0, new Uint8Array(4096).fill(1));
    server.signal("SIGSTOP");
    scene.defer(() => server.signal("SIGCONT"));
    const pending = client.write(0, new Uint8Array(1 << 20).fill(2));
    await isTaken(client);
    await scene.skink("kill", front.name, "--control", front.control);
    const { epoch } = await front.until("held");
    server.signal("SIGCONT");
    await pending;
    await front.until("live", epoch);
    await client.write(0, new Uint8Array(4096).fill(3));
    assert.deepEqual([(await client.read(0, 512))[0], (await client.read(4096, 512))[0]], [3, 2]);
  }),
);

test("a remote server that hangs, and has nothing in hand, is not waited for", needsNbdkit, () =>
  inScene(async (scene) => {
    const server = new RemoteServer(scene, ["nbdkit", "-f", "file", newDisk(scene)]);
    await server.start();
    const front = await serve(scene, patient(scene, server, "", {}));
    const client = await clientOf(scene, front);
    await client.write(0, new Uint8Array(4096).fill(1));
    server.signal("SIGSTOP");
    scene.defer(() => server.signal("SIGCONT"));
    const { epoch } = await front.device();
    await scene.skink("kill", front.name, "--control", front.control);
    await until("the next incarnation", EVENT_TIMEOUT_MS, async () =>
      (await front.device()).epoch > epoch ? true : undefined,
    );
    server.signal("SIGCONT");
    await front.until("live", epoch);
    assert.equal((await client.read(0, 512))[0], 1);
  }),
);

test("a remote server that dies while it is waited for is waited for no longer", needsNbdkit, () =>
  inScene(async (scene) => {
    const server = new RemoteServer(scene, ["nbdkit", "-f", "file", newDisk(scene)]);
    await server.start();
    const front = await serve(scene, patient(scene, server));
    const client = await clientOf(scene, front);
    server.signal("SIGSTOP");
    const pending = client.write(0, new Uint8Array(4096).fill(2));
    await isTaken(client);
    await scene.skink("kill", front.name, "--control", front.control);
    const { epoch } = await front.until("held");
    await server.kill();
    await server.start();
    await pending;
    await front.until("live", epoch);
    assert.equal((await client.read(0, 512))[0], 2);
    await client.close();
    await front.stop();
  }),
);

test("a settle limits the wait", needsNbdkit, () =>
  inScene(async (scene) => {
    const server = new RemoteServer(scene, ["nbdkit", "-f", "file", newDisk(scene)]);
    await server.start();
    const front = await serve(scene, patient(scene, server, "&settle=100ms", {}));
    const client = await clientOf(scene, front);
    server.signal("SIGSTOP");
    scene.defer(() => server.signal("SIGCONT"));
    const pending = client.write(0, new Uint8Array(4096).fill(2));
    await isTaken(client);
    const { epoch } = await front.device();
    await scene.skink("kill", front.name, "--control", front.control);
    // The next one knocks already, at a server that doesn't answer.
    await until("the next incarnation", EVENT_TIMEOUT_MS, async () =>
      (await front.device()).epoch > epoch ? true : undefined,
    );
    await front.logs(/left alone for 100 ms/);
    server.signal("SIGCONT");
    await pending;
    await front.until("live", epoch);
  }),
);

/** A front that leaves a server which hangs to the test. */
function patient(scene: Scene, { socket }: RemoteServer, settle = "", policy: Partial<Policy> = PATIENCE): string {
  const device = { name: "disk", spec: `nbd+unix:///?socket=${socket}${settle}` };
  return scene.write("skink.yaml", JSON.stringify({ devices: [{ ...device, policy: { watch: false, ...policy } }] }));
}

/** Resolves when the front has taken all that the client has asked for. It answers this request by itself. */
async function isTaken(client: NbdClient): Promise<void> {
  await client.cache(DISK_BYTES - 512, 512);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
