/** One front takes over from another in order, under clients that reconnect and check what they read. */
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { NbdClient } from "../src/nbd/index.ts";
import { DISK_BYTES } from "./load.ts";
import { peer } from "./peers.ts";
import { killBehind } from "./reconnect-kill.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { withSeed } from "./storm.ts";
import { checkAll, reconnectingLoad, takeOver, watchFile } from "./takeover-scene.ts";
import { until } from "./until.ts";

const WORK_TIMEOUT_MS = 20_000;
/** Under each front, before the next one takes over. */
const WRITES = 100;

type Keeper = "plain" | "guard";

interface Case {
  readonly driver: (scene: Scene) => string;
  readonly home: "memory" | "shm" | "disk";
  /** Of each front in turn. */
  readonly keepers: readonly Keeper[];
  readonly listener?: "tcp";
  readonly skip?: string | false;
}

const volatileFile = (scene: Scene): string =>
  `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}&path=${scene.path("disk.img")}`;
const nbdkit = (scene: Scene): string =>
  `exec:nbdkit -f -U {socket} --filter=cache file ${scene.write("disk.img", new Uint8Array(DISK_BYTES))}`;

const CASES: Record<string, Case> = {
  "volatile on a file, home memory, no guards": {
    driver: volatileFile,
    home: "memory",
    keepers: ["plain", "plain", "plain", "plain"],
  },
  "memory, home memory, to guards and back, TCP": {
    driver: () => `memory:${DISK_BYTES}`,
    home: "memory",
    keepers: ["plain", "guard", "plain"],
    listener: "tcp",
  },
  "volatile on kept memory, home shm": {
    driver: () => `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}`,
    home: "shm",
    keepers: ["guard", "guard"],
  },
  "file, home disk, TCP": {
    driver: (scene) => `file:${scene.path("disk.img")}?size=${DISK_BYTES}`,
    home: "disk",
    keepers: ["guard", "guard"],
    listener: "tcp",
  },
  "nbdkit, home disk, no guards": {
    driver: nbdkit,
    home: "disk",
    keepers: ["plain", "plain"],
    skip: peer("nbdkit"),
  },
  "nbdkit, home shm": { driver: nbdkit, home: "shm", keepers: ["guard", "guard"], skip: peer("nbdkit") },
};

for (const [what, { driver, home, keepers, listener, skip = false }] of Object.entries(CASES)) {
  test(`fronts take over from one another, and clients see a delay: ${what}`, { skip }, () =>
    inScene(async (scene) => {
      const ownListener = listener === "tcp";
      const spec = driver(scene);
      const argsOf = (keeper: Keeper): string[] => [
        ...["--home", home === "disk" ? `disk:${scene.path("shadow.log")}?size=96M` : home],
        ...(keeper === "guard" ? ["--guard"] : []),
        ...(ownListener ? ["--port", "0"] : []),
      ];
      const [first = "plain", ...others] = keepers;
      await withSeed(what, async (seed) => {
        let front = await serve(scene, spec, { args: argsOf(first), ownListener });
        const socket = watchFile(scene, "nbd");
        const load = await reconnectingLoad(scene, front.uri, seed);
        for (const keeper of others) {
          await hasWritten(front);
          front = await takeOver(scene, front, spec, { args: argsOf(keeper), ownListener });
          await newcomerIsServed(front);
        }
        await hasWritten(front);
        await checkAll(load);
        assert.deepEqual(socket.changes, []);
        await endsWell(scene, front);
      });
    }),
  );
}

test("several devices with different homes go over together", () =>
  inScene(async (scene) => {
    const config = scene.write(
      "skink.yaml",
      `listen: { socket: ${scene.path("several")} }
devices:
  - { name: a, spec: "memory:${DISK_BYTES}", home: shm }
  - { name: b, spec: "file:b.img?size=${DISK_BYTES}", home: "disk:b.log?size=96M" }
  - { name: c, spec: "${volatileFile(scene)}" }
`,
    );
    const options = { args: ["--guard"], devices: 3, ownListener: true };
    let front = await serve(scene, config, options);
    const loads = await Promise.all(front.ready.map(({ uri }, index) => reconnectingLoad(scene, uri, index)));
    for (let handover = 0; handover < 2; handover++) {
      await hasWritten(front);
      front = await takeOver(scene, front, config, options);
    }
    await hasWritten(front);
    for (const load of loads) await checkAll(load);
    await endsWell(scene, front);
  }));

test("a front that was started by its guard a moment ago hands over", () =>
  inScene(async (scene) => {
    const spec = `${EXAMPLES}/volatile.ts?size=${DISK_BYTES}`;
    const args = ["--guard", "--home", "shm"];
    const old = await serve(scene, spec, { args });
    const load = await reconnectingLoad(scene, old.uri, 1);
    await hasWritten(old);
    await killBehind(old, "both at once");
    await old.until("live");
    const next = await takeOver(scene, old, spec, { args });
    await hasWritten(next);
    // What it has taken over outlives it as well.
    await killBehind(next, "both at once");
    await next.until("live");
    await checkAll(load);
    await endsWell(scene, next);
  }));

test("drivers that are killed meanwhile cost nothing", () =>
  inScene(async (scene) => {
    const spec = volatileFile(scene);
    const args = ["--guard", "--home", "shm"];
    let front = await serve(scene, spec, { args });
    const load = await reconnectingLoad(scene, front.uri, 2);
    for (let handover = 0; handover < 3; handover++) {
      const { driver } = await front.until("live");
      const taken = takeOver(scene, front, spec, { args });
      if (driver.pid !== null) process.kill(driver.pid, "SIGKILL");
      front = await taken;
    }
    await hasWritten(front);
    await checkAll(load);
    await endsWell(scene, front);
  }));

/** Waits until its clients have written something since. */
async function hasWritten(front: Front): Promise<void> {
  const writesOf = async (): Promise<number[]> => (await front.status()).devices.map(({ counters }) => counters.writes);
  const before = await writesOf();
  await until(`${WRITES} more writes of each device`, WORK_TIMEOUT_MS, async () => {
    const now = await writesOf();
    return now.every((writes, index) => writes >= (before[index] as number) + WRITES) ? true : undefined;
  });
}

async function newcomerIsServed(front: Front): Promise<void> {
  const newcomer = await NbdClient.connect(front.uri);
  await newcomer.flush();
  await newcomer.close();
}

/** It has answered nobody with an error, stops in order, and nothing stays behind. */
async function endsWell(scene: Scene, front: Front): Promise<void> {
  for (const { counters } of (await front.status()).devices) assert.equal(counters.errors, 0);
  const { stderr } = await front.stop();
  assert.doesNotMatch(stderr, /lost|Cannot/);
  assert.equal(existsSync(front.control), false);
  assert.deepEqual(await scene.leftovers(), []);
}
