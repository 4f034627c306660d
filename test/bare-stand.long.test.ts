import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { NbdClient } from "../src/nbd/index.ts";
import type { Recovery } from "../src/torture/plan.ts";
import { BareStand } from "../src/torture/servers/bare-stand.ts";
import { newDisk } from "./foreign.ts";
import { processesOf } from "./leftovers.ts";
import { type Peer, peer } from "./peers.ts";
import { inScene, type Scene } from "./scene.ts";
import { until } from "./until.ts";

const STAND = new URL("../src/torture/servers/bare-stand.ts", import.meta.url).href;
const DIES_TIMEOUT_MS = 5000;
const SECTOR = new Uint8Array(512).fill(0xa5);

const RECOVERIES: readonly (readonly [Recovery, readonly Peer[]])[] = [
  ["client", ["nbdkit"]],
  ["nbdkit-retry", ["nbdkit"]],
  ["qemu-reconnect", ["nbdkit", "qemu-nbd"]],
];

for (const [recovery, peers] of RECOVERIES) {
  test(`a server that is killed serves the same client again by ${recovery}`, { skip: peer(...peers) }, () =>
    inScene(async (scene) => {
      const stand = await startStand(scene, recovery, nbdkit(newDisk(scene)));
      const pids: number[] = [];
      stand.onVictim((pid) => pids.push(pid));
      const client = await NbdClient.connect(stand.uri, stand.reconnects ? { reconnect: {} } : {});
      scene.defer(() => client.destroy());
      await client.write(0, SECTOR);

      const { promise: nextVictim, resolve } = Promise.withResolvers<number>();
      stand.onVictim((pid) => pid !== pids[0] && resolve(pid));
      process.kill(stand.victim() as number, "SIGKILL");
      await nextVictim;
      assert.deepEqual(await client.read(0, 512), SECTOR);

      await stand.settled();
      assert.equal(pids.length, 2);
      const { restarts, state, detections } = stand.findings();
      assert.deepEqual([restarts, state], [1, "live"]);
      assert.deepEqual([detections.length, detections[0]?.kind], [1, "killed"]);
      assert.ok((detections[0]?.recoverMs ?? 0) > 0);
    }),
  );
}

test(
  "acknowledged writes that the server had in its cache are gone, and the flush after that succeeds",
  {
    skip: peer("nbdkit"),
  },
  () =>
    inScene(async (scene) => {
      const stand = await startStand(scene, "client", nbdkit(newDisk(scene), "--filter=cache", "cache=writeback"));
      const client = await NbdClient.connect(stand.uri, { reconnect: {} });
      scene.defer(() => client.destroy());
      await client.write(0, SECTOR);
      process.kill(stand.victim() as number, "SIGKILL");
      await until("the restart", DIES_TIMEOUT_MS, () => stand.findings().restarts === 1 || undefined);
      await client.flush();
      assert.deepEqual(await client.read(0, 512), new Uint8Array(512));
    }),
);

test("a server that does not come up is told with its last words", { skip: peer("nbdkit") }, () =>
  inScene(async (scene) => {
    const stand = new BareStand({ ...order("nbdkit -f -U {socket} file /nowhere/disk"), recovery: "client" });
    scene.defer(() => stand.end());
    await assert.rejects(stand.start(), {
      code: "not-ready",
      message: /nobody listens, last words: .*\/nowhere\/disk.*, a socket for clients was wanted$/,
    });
  }),
);

test("server and relay die with a process that is killed", { skip: peer("nbdkit", "qemu-nbd") }, () =>
  inScene(async (scene) => {
    const source = { ...order(nbdkit(newDisk(scene))).source, folder: scene.folder };
    const code = `
      const { BareStand } = await import(${JSON.stringify(STAND)});
      const options = { source: ${JSON.stringify(source)}, recovery: "qemu-reconnect", strikes: () => [], tell() {} };
      const stand = new BareStand(options);
      await stand.start();
      console.log(stand.victim());`;
    const owner = scene.spawn(process.execPath, ["--input-type=module", "-e", code]);
    const [line] = await once(createInterface({ input: owner.stdout as NodeJS.ReadableStream }), "line");
    assert.ok(processesOf(scene.folder).some(({ pid }) => pid === Number(line)));
    owner.kill("SIGKILL");
    // That nothing is left, neither processes nor folders, is what the scene looks for.
    await once(owner, "exit");
  }),
);

function nbdkit(disk: string, ...more: readonly string[]): string {
  const [filters, parameters] = [
    more.filter((word) => word.startsWith("-")),
    more.filter((word) => !word.startsWith("-")),
  ];
  return ["nbdkit -f -U {socket}", ...filters, "file", disk, ...parameters].join(" ");
}

function order(command: string) {
  const source = { type: "command", command, folder: "/", name: "", connections: 1 } as const;
  return { source, strikes: () => [], tell() {} };
}

async function startStand(scene: Scene, recovery: Recovery, command: string): Promise<BareStand> {
  const stand = new BareStand({ ...order(command), recovery });
  scene.defer(() => stand.end());
  await stand.start();
  return stand;
}
