/**
 * Front and driver die at random, singly and together, under loads that reconnect and check what they read.
 * SKINK_LONG_SECONDS makes each of them longer than the few seconds of npm test: npm run soak:front does.
 */
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { test } from "node:test";
import { SeededRandom } from "../src/block/random.ts";
import { verify } from "./fio.ts";
import { DISK_BYTES } from "./load.ts";
import { peer } from "./peers.ts";
import { guarded, type OutlivingHome } from "./reconnect-home.ts";
import { type Deaths, frontStorm, killAtRandom } from "./reconnect-storm.ts";
import { listens } from "./remote-server.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { serve } from "./serve.ts";
import { withSeed } from "./storm.ts";
import { until, within } from "./until.ts";

const DEFAULT_SECONDS = 5;
const FIO_BYTES = 8 << 20;
const LISTEN_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 10_000;
/** For so long the bridge tries to reach a front. */
const BRIDGE_RECONNECT_S = 60;

const seconds = Number(process.env.SKINK_LONG_SECONDS ?? DEFAULT_SECONDS);

for (const home of ["shm", "disk"] as const) {
  test(`clients that reconnect find everything when front and volatile driver die, home ${home}`, (context) =>
    inScene(async (scene) => {
      const file = scene.path("disk.img");
      const spec = `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}&path=${file}`;
      const { load, deaths } = await frontStorm(scene, spec, { home, seconds });
      context.diagnostic(JSON.stringify(deaths));
      load.checkBytes(readFileSync(file));
    }));
}

test("clients that reconnect find everything when front and memory driver die, home shm", (context) =>
  inScene(async (scene) => {
    const { deaths } = await frontStorm(scene, `memory:${DISK_BYTES}`, { home: "shm", seconds });
    context.diagnostic(JSON.stringify(deaths));
  }));

for (const home of ["shm", "disk"] as const) {
  const name = `fio's verification finds everything when front and volatile driver die, home ${home}`;
  test(name, { skip: peer("fio", "qemu-nbd") }, (context) =>
    inScene(async (scene) => {
      const { deaths, requests } = await withSeed(name, (seed) => fioStorm(scene, home, new SeededRandom(seed)));
      context.diagnostic(JSON.stringify({ ...deaths, requests }));
    }),
  );
}

/** fio writes and verifies, round by round, while `killAtRandom` kills. */
async function fioStorm(
  scene: Scene,
  home: OutlivingHome,
  random: SeededRandom,
): Promise<{ readonly deaths: Deaths; readonly requests: number }> {
  // Its medium is a file: without one, what was flushed would be in the memory of the front that dies.
  const spec = `${EXAMPLES}/volatile.ts?size=${FIO_BYTES}&path=${scene.path("disk.img")}`;
  const guard = await serve(scene, spec, { args: guarded(scene, home) });
  const bridge = await startBridge(scene, guard.name);
  let hasFailed = false;
  let isKilling = true;
  const killing = killAtRandom(guard, random, { seconds, isOver: () => hasFailed }).finally(() => {
    isKilling = false;
  });
  let requests = 0;
  try {
    for (let round = 1; isKilling; round++) {
      requests += await verify(scene, bridge.uri, { round, size: `${FIO_BYTES}` });
    }
  } catch (error) {
    hasFailed = true;
    // It comes first, whatever becomes of the front meanwhile.
    await killing.catch(() => {});
    throw error;
  }
  const deaths = await killing;
  await bridge.end();
  await guard.stop();
  return { deaths, requests };
}

interface Bridge {
  readonly uri: string;
  /** Before the front goes: it has a flush for it. */
  end(): Promise<void>;
}

/** fio doesn't reconnect; QEMU does: it takes fio's requests, and makes them to the front, again where that has died. */
async function startBridge(scene: Scene, name: string): Promise<Bridge> {
  const socket = scene.path("bridge.sock");
  const server = `driver=nbd,server.type=unix,server.path=${scene.path("nbd")},export=${name}`;
  const image = `${server},reconnect-delay=${BRIDGE_RECONNECT_S}`;
  scene.defer(() => rmSync(socket, { force: true }));
  const child = scene.spawn("qemu-nbd", ["--persistent", "--shared=4", "-k", socket, "--image-opts", image]);
  await until("the bridge to listen", LISTEN_TIMEOUT_MS, async () => ((await listens(socket)) ? true : undefined));
  return {
    uri: `nbd+unix:///?socket=${socket}`,
    async end() {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await within("the bridge to end", END_TIMEOUT_MS, exited);
    },
  };
}
