/** The NBD client, `skink/nbd`, against servers that others have written. */
import { strict as assert } from "node:assert";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { formatUri, NbdClient, type NbdClientOptions, type NbdTarget, type PlacedExtent } from "../src/nbd/index.ts";
import { makeCertificates } from "./certificates.ts";
import { peer } from "./peers.ts";
import { ended, inScene, type Scene } from "./scene.ts";
import { until } from "./until.ts";

const KIB = 1024;
const MIB = KIB * KIB;
const START_TIMEOUT_MS = 10_000;
const INDEX = fileURLToPath(new URL("../src/nbd/index.ts", import.meta.url));

interface Server {
  readonly pid: number;
  readonly target: NbdTarget;
  /** Its socket goes with it: servers don't all see to that. */
  end(signal: NodeJS.Signals): Promise<void>;
  connect(options?: NbdClientOptions): Promise<NbdClient>;
}

const nbdkit = (scene: Scene, ...args: string[]): Promise<Server> =>
  start(scene, "nbdkit", (socket) => ["-f", "--exit-with-parent", "-U", socket, ...args]);

const qemuNbd = (scene: Scene, ...args: string[]): Promise<Server> =>
  start(scene, "qemu-nbd", (socket) => ["--persistent", "--shared=8", "--socket", socket, ...args]);

/** Starts a server on a socket of its own, and waits until it listens. */
async function start(scene: Scene, program: string, args: (socket: string) => string[]): Promise<Server> {
  const path = scene.path("peer.sock");
  const child = scene.spawn(program, args(path));
  const outcome = ended(child);
  const target = { address: { path } };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await outcome;
    rmSync(path, { force: true });
  };
  scene.defer(() => end("SIGTERM"));
  await until(`${program} to listen`, START_TIMEOUT_MS, async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}: ${(await outcome).stderr}`);
    // Whatever it answers, it is there.
    return await NbdClient.list(target).then(
      () => true,
      ({ code }) => (code === "cannot-connect" ? undefined : true),
    );
  });
  return { pid: child.pid as number, target, end, connect: (options) => connect(scene, target, options) };
}

async function connect(scene: Scene, target: NbdTarget, options?: NbdClientOptions): Promise<NbdClient> {
  const client = await NbdClient.connect(target, options);
  scene.defer(() => client.destroy());
  return client;
}

for (const [replies, args] of [
  ["structured", []],
  ["simple", ["--no-sr"]],
] as const) {
  test(`nbdkit with ${replies} replies does all that the client can ask`, { skip: peer("nbdkit") }, () =>
    inScene(async (scene) => {
      const { target, connect } = await nbdkit(scene, ...args, "memory", "64M");
      const client = await connect();
      assert.deepEqual([client.structured, client.minimumBlockSize], [replies === "structured", 1]);
      const data = Buffer.alloc(40 * MIB, "what is written is read ");
      await client.write(12_345, data, { fua: true });
      await client.flush();
      assert.equal(Buffer.compare(await client.read(12_345, data.length), data), 0);
      await client.zero(32 * KIB, 32 * KIB);
      await client.trim(64 * KIB, 32 * KIB);
      assert.deepEqual(await client.read(32 * KIB, 64 * KIB), new Uint8Array(64 * KIB));
      const extents: PlacedExtent[] = [];
      for await (const extent of client.extents()) extents.push(extent);
      assert.equal(
        extents.reduce((sum, { length }) => sum + length, 0),
        client.size,
      );
      assert.equal(extents.length > 1, replies === "structured");
      let total = 0;
      for await (const chunk of client.chunks()) total += chunk.length;
      assert.equal(total, client.size);
      const [only] = await NbdClient.list(target, { details: true });
      assert.deepEqual(only, await NbdClient.info(target));
      await client.close();
    }),
  );
}

test("nbdkit's errors have their names, and its connection goes on", { skip: peer("nbdkit") }, () =>
  inScene(async (scene) => {
    const { connect } = await nbdkit(
      scene,
      "--filter=error",
      "memory",
      "1M",
      "error-pread=ENOSPC",
      "error-pread-rate=1",
    );
    const client = await connect();
    await assert.rejects(client.read(0, 512), { name: "NbdRequestError", code: "ENOSPC", errno: 28 });
    await client.write(0, new Uint8Array(512));
    await client.close();
  }),
);

test("a read-only nbdkit, an old one and one that wants other blocks are told apart", {
  skip: peer("nbdkit"),
}, async () => {
  await inScene(async (scene) => {
    const { connect } = await nbdkit(scene, "-r", "memory", "1M");
    const client = await connect();
    assert.equal(client.readOnly, true);
    await assert.rejects(client.write(0, new Uint8Array(512)), { code: "bad-request" });
    await client.close();
  });
  await inScene(async (scene) => {
    const { connect } = await nbdkit(scene, "-o", "memory", "1M");
    await assert.rejects(connect(), { code: "bad-server" });
  });
  await inScene(async (scene) => {
    const policy = [
      "blocksize-minimum=4K",
      "blocksize-preferred=8K",
      "blocksize-maximum=64K",
      "blocksize-error-policy=error",
    ];
    const { connect } = await nbdkit(scene, "--filter=blocksize-policy", "memory", "4M", ...policy);
    const client = await connect();
    const { minimumBlockSize, preferredBlockSize, maximumPayload } = client;
    assert.deepEqual([minimumBlockSize, preferredBlockSize, maximumPayload], [4 * KIB, 8 * KIB, 64 * KIB]);
    const data = Buffer.alloc(MIB + 4 * KIB, "in parts ");
    await client.write(4 * KIB, data);
    assert.equal(Buffer.compare(await client.read(4 * KIB, data.length), data), 0);
    await assert.rejects(client.read(512, 512), { code: "bad-request" });
    const frank = await connect({ strict: false });
    await assert.rejects(frank.read(512, 512), { code: "EINVAL" });
    await Promise.all([client.close(), frank.close()]);
  });
});

test("qemu-nbd's holes and bitmaps come as it sends them", { skip: peer("qemu-nbd", "qemu-img") }, () =>
  inScene(async (scene) => {
    const image = scene.path("disk.qcow2");
    await scene.need("qemu-img", ["create", "-f", "qcow2", image, "4M"]);
    await scene.need("qemu-img", ["bitmap", "--add", image, "b0"]);
    await scene.need("qemu-io", ["-f", "qcow2", "-c", "write -P 7 1M 64k", image]);
    const { connect } = await qemuNbd(
      scene,
      "--read-only",
      "--format=qcow2",
      "--bitmap=b0",
      "--allocation-depth",
      image,
    );
    const bitmap = "qemu:dirty-bitmap:b0";
    const client = await connect({ metaContexts: ["base:allocation", bitmap, "qemu:allocation-depth", "x:y"] });
    assert.deepEqual([...client.contexts].sort(), ["base:allocation", "qemu:allocation-depth", bitmap]);
    const status = await client.metaStatus(0, 4 * MIB);
    assert.deepEqual(status.get(bitmap), [
      { length: MIB, flags: 0 },
      { length: 64 * KIB, flags: 1 },
      { length: 3 * MIB - 64 * KIB, flags: 0 },
    ]);
    const one = await client.metaStatus(0, 4 * MIB, { one: true });
    assert.deepEqual(
      [...one.values()].map(({ length }) => length),
      [1, 1, 1],
    );
    const runs = await client.readSparse(MIB - 64 * KIB, 192 * KIB);
    assert.deepEqual(
      runs.map(({ kind, offset, length }) => [kind, offset, length]),
      [
        ["hole", MIB - 64 * KIB, 64 * KIB],
        ["data", MIB, 64 * KIB],
        ["hole", MIB + 64 * KIB, 64 * KIB],
      ],
    );
    const data = runs.flatMap((run) => (run.kind === "data" ? [run.data] : []));
    assert.deepEqual(data, [new Uint8Array(64 * KIB).fill(7)]);
    await client.close();
  }),
);

test(
  "nbdkit is killed again and again under a client that reconnects: each request is answered",
  { skip: peer("nbdkit") },
  () =>
    inScene(async (scene) => {
      const disk = scene.write("disk.img", Buffer.alloc(MIB));
      let server = await nbdkit(scene, "file", disk);
      const client = await connect(scene, server.target, { reconnect: { delayMs: 5, maxDelayMs: 20, attempts: 1000 } });
      let isOver = false;
      let rounds = 0;
      const load = async (lane: number): Promise<void> => {
        for (let round = 1; !isOver; round++) {
          const data = new Uint8Array(4 * KIB).fill((lane * 37 + round) % 256);
          await client.write(lane * 4 * KIB, data);
          assert.deepEqual(await client.read(lane * 4 * KIB, data.length), data);
          rounds++;
        }
      };
      const lanes = Promise.all(Array.from({ length: 8 }, (_, lane) => load(lane)));
      for (let kills = 0; kills < 3; kills++) {
        const before = rounds;
        await until("some requests", START_TIMEOUT_MS, () => (rounds > before + 100 ? true : undefined));
        await server.end("SIGKILL");
        server = await nbdkit(scene, "file", disk);
      }
      isOver = true;
      await lanes;
      await client.close();
    }),
);

test("nbdkit and qemu-nbd are talked to with TLS, by keys and by certificates", {
  skip: peer("nbdkit", "qemu-nbd", "certtool", "psktool"),
}, async () => {
  const certificates = (scene: Scene): string => makeCertificates(scene.path("pki"));
  const keys = async (scene: Scene): Promise<string> => {
    const folder = scene.path("psk");
    await scene.need("mkdir", [folder]);
    await scene.need("psktool", ["-u", "alice", "-p", join(folder, "keys.psk")]);
    return folder;
  };
  const check = async (scene: Scene, { target }: Server, tls: NbdTarget["tls"] & object): Promise<void> => {
    await assert.rejects(NbdClient.connect(target), { code: "tls-required" });
    const client = await NbdClient.connect(formatUri({ name: "", ...target, tls }));
    scene.defer(() => client.destroy());
    const data = Buffer.alloc(3 * MIB, "encrypted");
    await client.write(512, data);
    assert.equal(Buffer.compare(await client.read(512, data.length), data), 0);
    await client.close();
  };
  await inScene(async (scene) => {
    const folder = await keys(scene);
    const server = await nbdkit(scene, "--tls=require", `--tls-psk=${join(folder, "keys.psk")}`, "memory", "4M");
    await check(scene, server, { pskFile: join(folder, "keys.psk"), username: "alice" });
  });
  await inScene(async (scene) => {
    const folder = certificates(scene);
    const server = await nbdkit(
      scene,
      "--tls=require",
      "--tls-verify-peer",
      `--tls-certificates=${folder}`,
      "memory",
      "4M",
    );
    await check(scene, server, { certificates: folder, hostname: "localhost" });
    const other = { ...server.target, tls: { certificates: folder, hostname: "elsewhere" } };
    await assert.rejects(NbdClient.connect(other), { code: "tls-failed" });
  });
  await inScene(async (scene) => {
    const folder = await keys(scene);
    const image = scene.write("disk.img", Buffer.alloc(4 * MIB));
    const creds = `tls-creds-psk,id=t,endpoint=server,dir=${folder}`;
    const server = await qemuNbd(scene, "--format=raw", "--object", creds, "--tls-creds=t", image);
    await check(scene, server, { pskFile: join(folder, "keys.psk"), username: "alice" });
  });
  await inScene(async (scene) => {
    const folder = certificates(scene);
    const image = scene.write("disk.img", Buffer.alloc(4 * MIB));
    const creds = `tls-creds-x509,id=t,endpoint=server,dir=${folder}`;
    const server = await qemuNbd(scene, "--format=raw", "--object", creds, "--tls-creds=t", image);
    await check(scene, server, { certificates: folder, hostname: "localhost" });
  });
});

test("nothing keeps a process alive after close or destroy, whatever the server does", { skip: peer("nbdkit") }, () =>
  inScene(async (scene) => {
    const { target, pid } = await nbdkit(scene, "memory", "1M");
    const script = `
      import { NbdClient } from ${JSON.stringify(INDEX)};
      const target = ${JSON.stringify(target)};
      const [closed, destroyed, lost] = await Promise.all([1, 2, 3].map(() =>
        NbdClient.connect(target, { reconnect: { attempts: 1000 }, replyTimeoutMs: 60_000 })));
      await closed.read(0, 512, { signal: AbortSignal.timeout(60_000) });
      await closed.close();
      destroyed.read(0, 512).catch(() => {});
      destroyed.destroy();
      process.kill(${pid}, "SIGKILL");
      while (lost.connected) await new Promise((resolve) => setImmediate(resolve));
      lost.read(0, 512).catch(() => {});
      lost.destroy();
      console.log("over");
    `;
    const path = scene.write("script.mts", script);
    assert.equal((await scene.need(process.execPath, [path])).trim(), "over");
  }),
);
