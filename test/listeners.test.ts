/** What a front does with the listening sockets that an earlier one has left. */
import { strict as assert } from "node:assert";
import type { ChildProcess } from "node:child_process";
import { closeSync, existsSync, linkSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { NbdClient } from "../src/nbd/index.ts";
import { descriptorOf } from "../src/nbd/server/listening.ts";
import { createReceivingSocket, createSendingSocket, receiveDatagram, sendDatagram } from "../src/os/datagram.ts";
import { storedName } from "../src/service/names.ts";
import { ended, inScene, type Scene, SKINK } from "./scene.ts";
import { Front } from "./serve.ts";
import { until } from "./until.ts";

const READY_TIMEOUT_MS = 20_000;
/** As a service manager does it; $1 are the names. */
const SCRIPT = 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$1; shift; exec "$@"';

test("a socket that is asked for again is taken over with who waits in it, and removed at the end", () =>
  inScene(async (scene) => {
    const path = scene.path("disk.sock");
    const left = await leave(scene, path);
    const front = successor(scene, storedName("nbd", `unix ${path}`), left, ["--socket", path]);
    const client = await NbdClient.connect(`nbd+unix:///disk?socket=${path}`, { timeoutMs: READY_TIMEOUT_MS });
    await client.close();
    await front.stop();
    assert.equal(existsSync(path), false);
  }));

test("a socket that nobody asks for any more is removed", () =>
  inScene(async (scene) => {
    const [old, next] = [scene.path("old.sock"), scene.path("next.sock")];
    const left = await leave(scene, old);
    const front = successor(scene, storedName("nbd", `unix ${old}`), left, ["--socket", next]);
    assert.equal(await ready(front), `nbd+unix:///disk?socket=${next}`);
    assert.equal(existsSync(old), false);
    await front.stop();
  }));

test("a socket whose file is gone is made anew, since nobody finds it", () =>
  inScene(async (scene) => {
    const path = scene.path("disk.sock");
    const left = await leave(scene, path);
    rmSync(path);
    const front = successor(scene, storedName("nbd", `unix ${path}`), left, ["--socket", path]);
    const client = await NbdClient.connect(await ready(front));
    await client.close();
    await front.stop();
  }));

test("a front that can't start leaves the socket to the next one", () =>
  inScene(async (scene) => {
    const path = scene.path("disk.sock");
    const left = await leave(scene, path);
    const name = storedName("nbd", `unix ${path}`);
    const child = spawnSuccessor(scene, name, left, [`file:${scene.path("none/disk.img")}`, "--socket", path]);
    assert.equal((await ended(child)).code, 1);
    assert.ok(existsSync(path));
    rmSync(path);
  }));

test("what doesn't listen is no socket to serve at", () =>
  inScene(async (scene) => {
    const child = spawnSuccessor(scene, "disk.socket", 2, ["memory:1M"]);
    const { code, stderr } = await ended(child);
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot serve at descriptor 3 \(disk\.socket\): it isn't one, [^\n]+\n$/);
  }));

/** The descriptor of a socket that listens at `path`, where nobody accepts: as one in a service manager. It is closed with the scene. */
async function leave(scene: Scene, path: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ path }, resolve));
  const fd = duplicate(descriptorOf(server));
  scene.defer(() => closeSync(fd));
  // Node removes its socket files.
  linkSync(path, `${path}.kept`);
  await new Promise((resolve) => server.close(resolve));
  renameSync(`${path}.kept`, path);
  return fd;
}

/** By sending it to ourselves. */
function duplicate(fd: number): number {
  const address = `\0skink-listeners-${process.pid}`;
  const [sender, receiver] = [createSendingSocket(READY_TIMEOUT_MS), createReceivingSocket(address)];
  sendDatagram(sender, address, Buffer.from("fd"), [fd]);
  const [copy] = receiveDatagram(receiver)?.descriptors ?? [];
  for (const socket of [sender, receiver]) closeSync(socket);
  assert.ok(copy !== undefined);
  return copy;
}

/** A front that a manager starts with the descriptor `fd` under `name`. */
function successor(scene: Scene, name: string, fd: number, args: readonly string[]): Front {
  const front = new Front(
    spawnSuccessor(scene, name, fd, ["memory:1M", "--name", "disk", ...args]),
    scene.path("control"),
  );
  scene.defer(() => front.end("SIGTERM"));
  return front;
}

function spawnSuccessor(scene: Scene, name: string, fd: number, args: readonly string[]): ChildProcess {
  const command = [process.execPath, SKINK, "serve", ...args, "--control", scene.path("control")];
  return scene.spawn("/bin/sh", ["-c", SCRIPT, "sh", name, ...command], { stdio: ["ignore", "pipe", "pipe", fd] });
}

function ready(front: Front): Promise<string> {
  return until("the front to be ready", READY_TIMEOUT_MS, () => front.ready[0]?.uri);
}
