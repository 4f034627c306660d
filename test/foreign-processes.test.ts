/** The processes of foreign servers: which they are, and that none of them stays behind. */
import { strict as assert } from "node:assert";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NbdClient } from "../src/nbd/index.ts";
import { processesOf } from "./leftovers.ts";
import { peer } from "./peers.ts";
import { isRunning } from "./processes.ts";
import { type Ended, inScene, type Scene, SKINK } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { until } from "./until.ts";

const DISK_BYTES = 1 << 20;
const GONE_TIMEOUT_MS = 5000;
const OPEN_TIMEOUT_MS = 400;
const STOP_TIMEOUT_MS = 400;
/** A stop that has to kill, and to be over nevertheless. */
const LATE_STOP_MS = 5000;
const FLOOD_BYTES = 5_000_000;

const needsNbdkit = { skip: peer("nbdkit") };

for (const [what, command] of [
  ["a plain command", "nbdkit -f -U {socket} file disk.img"],
  ["a command with variables", "cd folder && FILE=../disk.img; FOO=1 exec nbdkit -f -U {socket} file $FILE"],
  ["a command that replaces its shell by itself", "exec nbdkit -f -U {socket} file 'disk.img'"],
] as const) {
  test(`of ${what} the pid is the server's own, and it knows its epoch`, needsNbdkit, () =>
    inScene(async (scene) => {
      newDisk(scene);
      await scene.need("mkdir", [scene.path("folder")]);
      const front = await serve(scene, `exec:${command}`);
      const { driver, epoch } = await front.device();
      assert.equal(driver.kind.startsWith("exec:"), true);
      assert.equal(readFileSync(`/proc/${driver.pid}/comm`, "latin1").trim(), "nbdkit");
      const environment = readFileSync(`/proc/${driver.pid}/environ`, "latin1").split("\0");
      assert.ok(environment.includes(`SKINK_EPOCH=${epoch}`));
      await front.stop();
    }),
  );
}

/** Beside the server: a child that stays in its group, one in a session of its own, and one that hides behind a shell. */
const WITH_CHILDREN = [
  "sleep 601 &",
  "setsid sleep 602 &",
  "(setsid sh -c 'sleep 603 & wait' &);",
  "exec nbdkit -f -U {socket} file disk.img",
].join(" ");
const CHILDREN = ["sleep 601", "sleep 602", "sleep 603"];

test("whatever a server has started goes with it when it is killed", needsNbdkit, () =>
  inScene(async (scene) => {
    const front = await serveWithChildren(scene);
    const before = await childrenIn(scene);
    const { epoch } = await front.device();
    const { code } = await scene.skink("kill", front.name, "--control", front.control);
    assert.equal(code, 0);
    await front.until("live", epoch);
    assert.deepEqual(before.filter(isRunning), []);
    await front.stop();
  }),
);

test("whatever a server has started goes with it when it dies by itself", needsNbdkit, () =>
  inScene(async (scene) => {
    const front = await serveWithChildren(scene);
    const before = await childrenIn(scene);
    await front.killDriver();
    assert.deepEqual(before.filter(isRunning), []);
    await front.stop();
  }),
);

test("whatever a server has started goes with it at a stop, and so does the guardian", needsNbdkit, () =>
  inScene(async (scene) => {
    const front = await serveWithChildren(scene);
    await childrenIn(scene);
    const before = await scene.leftovers(0);
    assert.ok(before.some((line) => line.includes("skink-guardian")));
    assert.ok(before.some((line) => /temporary file .*skink-servers-/.test(line)));
    await front.stop();
    assert.deepEqual(await scene.leftovers(), []);
  }),
);

test("when the front is killed its guardian takes all processes and the sockets of servers along", needsNbdkit, () =>
  inScene(async (scene) => {
    const front = await serveWithChildren(scene);
    await childrenIn(scene);
    await front.end("SIGKILL");
    for (const name of ["control", "nbd"]) rmSync(scene.path(name), { force: true });
    assert.deepEqual(await scene.leftovers(GONE_TIMEOUT_MS), []);
  }),
);

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  test(`a guardian that ends by ${signal} has a successor with the next server`, needsNbdkit, () =>
    inScene(async (scene) => {
      const front = await serveWithChildren(scene);
      const guardian = guardianIn(scene);
      process.kill(guardian, signal);
      await until("the guardian to end", GONE_TIMEOUT_MS, () => (isRunning(guardian) ? undefined : true));
      for (const name of readdirSync(scene.path("tmp"))) rmSync(join(scene.path("tmp"), name), { recursive: true });
      await front.killDriver();
      assert.notEqual(guardianIn(scene), guardian);
      await childrenIn(scene);
      await front.end("SIGKILL");
      for (const name of ["control", "nbd"]) rmSync(scene.path(name), { force: true });
      assert.deepEqual(await scene.leftovers(GONE_TIMEOUT_MS), []);
    }),
  );
}

test("a Skink that serves another one takes along what that has started", needsNbdkit, () =>
  inScene(async (scene) => {
    newDisk(scene);
    const inner = configure(scene, "nbdkit -f -U {socket} file disk.img", "stopTimeoutMs: 5000");
    const command = `${process.execPath} ${SKINK} serve ${inner} --socket {socket} --control {socket}.control`;
    const front = await serve(scene, `exec:${command}`);
    const server = await pidOf(scene, "nbdkit -f -U");
    await front.killDriver();
    assert.equal(isRunning(server), false);
    await front.stop();
  }),
);

test("a server that ignores SIGTERM is killed after a while, and the stop is clean", needsNbdkit, () =>
  inScene(async (scene) => {
    newDisk(scene);
    const front = await serve(scene, "exec:trap '' TERM; nbdkit -f -U {socket} file disk.img & wait; sleep 600");
    const client = await NbdClient.connect(front.uri);
    await client.write(0, Buffer.alloc(4096, 7));
    await client.close();
    await front.stop();
    assert.deepEqual(await scene.leftovers(), []);
    assert.equal(readFileSync(scene.path("disk.img"))[0], 7);
  }),
);

test("a stop while the server hangs is over in time, unclean, and leaves nothing", needsNbdkit, () =>
  inScene(async (scene) => {
    newDisk(scene);
    const front = await serve(
      scene,
      configure(
        scene,
        "nbdkit -f -U {socket} --filter=cache file disk.img",
        `watch: false, stopTimeoutMs: ${STOP_TIMEOUT_MS}`,
      ),
    );
    const client = await NbdClient.connect(front.uri);
    scene.defer(() => client.destroy());
    await client.write(0, new Uint8Array(4096));
    process.kill((await front.device()).driver.pid as number, "SIGSTOP");
    const since = performance.now();
    const { code, stderr } = await front.end("SIGTERM");
    assert.ok(performance.now() - since < LATE_STOP_MS);
    assert.equal(code, 1);
    assert.match(stderr, /Cannot stop cleanly: disk: [^\n]*was killed; 1 acknowledged pieces? /);
    assert.deepEqual(await scene.leftovers(), []);
  }),
);

test("a server that prints a flood is not held up by it, and holds up nobody", needsNbdkit, () =>
  inScene(async (scene) => {
    newDisk(scene);
    const front = await serve(
      scene,
      `exec:yes flood | head -c ${FLOOD_BYTES}; yes | head -c ${FLOOD_BYTES} >&2 & exec nbdkit -f -U {socket} file disk.img`,
    );
    const client = await NbdClient.connect(front.uri);
    for (let at = 0; at < DISK_BYTES; at += 65536) await client.write(at, new Uint8Array(65536));
    await client.close();
    await front.stop();
    assert.ok(front.stderr.split("\n").length < 1000);
  }),
);

const NO_NBD = `require("net").createServer((s) => s.end("HTTP/1.1 400 Bad Request".repeat(20))).listen(process.argv[1])`;

/** Servers that can't be served from, and how that is told. */
const HOPELESS: readonly [what: string, command: string, message: RegExp][] = [
  ["doesn't exist", "no-such-server {socket}", /ended before it served \(exit code 127, .*no-such-server: not found\)/],
  ["exits at once", "echo no luck today: {socket}; exit 3", /\(exit code 3, its last words: no luck today: /],
  ["is killed at once", "echo {socket}; kill -9 $$", /\(killed by SIGKILL, its last words: /],
  [
    "never listens",
    "echo idle {socket}; exec sleep 600",
    /its store is not open after 400 ms \(killed by SIGKILL, its last words: idle .*\)/,
  ],
  [
    "listens and speaks no NBD",
    `${process.execPath} -e '${NO_NBD}' {socket}`,
    /its greeting is not that of a newstyle NBD server/,
  ],
  [
    "serves another export",
    "qemu-nbd -t -x other -f raw -k {socket} disk.img",
    /export "".*other|export "": .*success/i,
  ],
  ["goes into the background", "nbdkit -U {socket} file disk.img", /exit code 0.*background.*foreground was wanted/],
  [
    "is left in the background as soon as it listens",
    "nbdkit -f -U {socket} file disk.img & while [ ! -S {socket} ]; do sleep 0.005; done; sleep 0.01",
    /exit code 0.*background.*foreground was/,
  ],
  ["goes there late", "qemu-nbd --fork -t -f raw -k {socket} disk.img", /exit code 0.*background.*foreground was/],
];

for (const [what, command, message] of HOPELESS) {
  test(`a server that ${what} is refused with one line, and leaves nothing`, { skip: peer("nbdkit", "qemu-nbd") }, () =>
    inScene(async (scene) => {
      newDisk(scene);
      const { code, stdout, stderr } = await refused(scene, command);
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, /^Cannot [^\n]+\n$/);
      assert.match(stderr, message);
      assert.deepEqual(await scene.leftovers(), []);
    }),
  );
}

async function serveWithChildren(scene: Scene): Promise<Front> {
  newDisk(scene);
  return await serve(scene, `exec:${WITH_CHILDREN}`);
}

/** The processes beside the server, when they are there. */
async function childrenIn(scene: Scene): Promise<number[]> {
  return await Promise.all(CHILDREN.map((command) => pidOf(scene, command)));
}

function guardianIn(scene: Scene): number {
  const guardian = processesOf(scene.folder).find(({ command }) => command.includes("skink-guardian"));
  assert.ok(guardian !== undefined, "there is no guardian");
  return guardian.pid;
}

/** The process of the scene with that text in its command, when it is there. */
function pidOf(scene: Scene, command: string): Promise<number> {
  return until(command, GONE_TIMEOUT_MS, async () => {
    const lines = await scene.leftovers(0);
    const found = lines.find((line) => line.startsWith("process") && line.includes(command) && !line.includes("sh -c"));
    return found === undefined ? undefined : Number(/^process (\d+)/.exec(found)?.[1]);
  });
}

function refused(scene: Scene, command: string): Promise<Ended> {
  const config = configure(scene, command, `openTimeoutMs: ${OPEN_TIMEOUT_MS}`);
  const sockets = ["--socket", scene.path("nbd"), "--control", scene.path("control")];
  return scene.skink("serve", config, ...sockets, "--log-level", "error");
}

function configure(scene: Scene, command: string, policy: string): string {
  const device = { name: "disk", driver: "exec", options: { command } };
  return scene.write("skink.yaml", `devices: [${JSON.stringify(device).slice(0, -1)}, policy: { ${policy} }}]\n`);
}

function newDisk(scene: Scene): void {
  scene.write("disk.img", new Uint8Array(DISK_BYTES));
}
