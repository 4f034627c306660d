/** What systemd passes to a service, passed by its own tool; and what it is told. */
import { strict as assert } from "node:assert";
import { closeSync, existsSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { askFront } from "../src/front/control-client.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { createReceivingSocket, receiveDatagram } from "../src/os/datagram.ts";
import { parseNotification } from "../src/service/notification.ts";
import { peer } from "./peers.ts";
import { type Ended, ended, inScene, type Scene, SKINK } from "./scene.ts";
import { until, within } from "./until.ts";

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;
const skip = peer("systemd-socket-activate");

test("a socket unit's unix socket is served on, from the first client, and stays", { skip }, () =>
  inScene(async (scene) => {
    const path = scene.path("activated.sock");
    const service = activate(scene, [path]);
    const client = await connected(`nbd+unix:///disk?socket=${path}`, () => existsSync(path));
    await client.write(0, new Uint8Array(4096).fill(3));
    assert.deepEqual(await client.read(0, 4096), new Uint8Array(4096).fill(3));
    await client.close();
    const { stdout } = await service.stop();
    assert.equal(stdout, `ready disk nbd+unix:///disk?socket=${path}\n`);
    assert.ok(statSync(path).isSocket(), "the socket's file is systemd's");
    await scene.need("rm", [path]);
  }),
);

test("a socket unit's TCP socket is served on, and not the one that the command line asks for", { skip }, () =>
  inScene(async (scene) => {
    const port = await freePort();
    const service = activate(scene, [`127.0.0.1:${port}`], ["--socket", scene.path("unwanted.sock")]);
    const client = await connected(`nbd://127.0.0.1:${port}/disk`);
    await client.write(0, new Uint8Array(4096).fill(4));
    assert.deepEqual(await client.read(0, 4096), new Uint8Array(4096).fill(4));
    assert.equal(existsSync(scene.path("unwanted.sock")), false);
    await client.close();
    const { stdout } = await service.stop();
    assert.equal(stdout, `ready disk nbd://127.0.0.1:${port}/disk\n`);
  }),
);

test("several sockets are all served on, the one called control by the control server", { skip }, () =>
  inScene(async (scene) => {
    const [one, control, two] = ["one", "control.sock", "two"].map((name) => scene.path(name)) as [
      string,
      string,
      string,
    ];
    const service = activate(scene, [one, control, two], ["--fdname"]);
    const clients = [
      await connected(`nbd+unix:///disk?socket=${one}`, () => existsSync(two)),
      await NbdClient.connect(`nbd+unix:///disk?socket=${two}`),
    ];
    const { devices } = await askFront(control, { command: "status" });
    assert.equal(devices[0]?.uri, `nbd+unix:///disk?socket=${one}`);
    await Promise.all(clients.map((client) => client.close()));
    await service.stop();
    await scene.need("rm", [one, control, two]);
  }),
);

test("a connected socket in place of a listening one is an error in one line", { skip }, () =>
  inScene(async (scene) => {
    const path = scene.path("accepting.sock");
    const args = ["-l", path, "--accept", process.execPath, SKINK, "serve", "memory:1M"];
    const child = scene.spawn("systemd-socket-activate", args);
    const activator = ended(child);
    await until("the socket", START_TIMEOUT_MS, () => (existsSync(path) ? true : undefined));
    const client = connect({ path });
    await within("the end of the connection", START_TIMEOUT_MS, new Promise((resolve) => client.on("close", resolve)));
    child.kill();
    const { stderr } = await within("the end of the activator", STOP_TIMEOUT_MS, activator);
    assert.match(
      stderr,
      /^Cannot serve at descriptor 3 \([^\n]*\): it isn't one, a unix or TCP socket that listens was/m,
    );
    await scene.need("rm", [path]);
  }),
);

test(
  "systemd is told when clients may come, and when it ends, and is given nothing that it has already",
  { skip },
  () =>
    inScene(async (scene) => {
      const path = scene.path("activated.sock");
      const service = activate(scene, [path]);
      const client = await connected(`nbd+unix:///disk?socket=${path}`, () => existsSync(path));
      await until("READY=1", START_TIMEOUT_MS, () => (service.told("READY") === "1" ? true : undefined));
      assert.equal(service.told("STATUS"), "serving disk");
      await client.close();
      await service.stop();
      assert.equal(service.told("STOPPING"), "1");
      assert.ok(service.stored.includes("skink/control/"), "its own socket is stored");
      assert.ok(!service.stored.some((kind) => kind.startsWith("skink/nbd")), "systemd's is not");
      await scene.need("rm", [path]);
    }),
);

/** A front that systemd's tool starts for its first client, with a service manager that only listens. */
class Service {
  readonly #receiver: number;
  readonly #child: ReturnType<Scene["spawn"]>;
  readonly #ended: Promise<Ended>;
  readonly #fields = new Map<string, string>();
  /** Kinds of what it has stored. */
  readonly stored: string[] = [];

  constructor(scene: Scene, sockets: readonly string[], args: readonly string[]) {
    const name = `skink-activation-${process.pid}`;
    this.#receiver = createReceivingSocket(`\0${name}`);
    scene.defer(() => closeSync(this.#receiver));
    const named = args[0] === "--fdname";
    const options = [
      ...sockets.flatMap((socket) => ["-l", socket]),
      ...(named ? ["--fdname=a:control:b"] : []),
      ...["NOTIFY_SOCKET=@".concat(name), "TMPDIR", "XDG_RUNTIME_DIR"].flatMap((variable) => ["-E", variable]),
    ];
    const front = ["serve", "memory:8M", "--name", "disk", ...(named ? args.slice(1) : args)];
    const control = named ? [] : ["--control", scene.path("control")];
    this.#child = scene.spawn("systemd-socket-activate", [...options, process.execPath, SKINK, ...front, ...control]);
    this.#ended = ended(this.#child);
  }

  /** The newest value of a field. */
  told(key: string): string | undefined {
    for (
      let datagram = receiveDatagram(this.#receiver);
      datagram !== undefined;
      datagram = receiveDatagram(this.#receiver)
    ) {
      for (const fd of datagram.descriptors) closeSync(fd);
      const fields = parseNotification(datagram.bytes) ?? new Map<string, string>();
      for (const [field, value] of fields) this.#fields.set(field, value);
      if (fields.get("FDSTORE") === "1") this.stored.push(fields.get("FDNAME")?.replace(/[^/]*$/, "") ?? "");
    }
    return this.#fields.get(key);
  }

  async stop(): Promise<Ended> {
    this.#child.kill("SIGTERM");
    const outcome = await within("the front to stop", STOP_TIMEOUT_MS, this.#ended);
    assert.equal(outcome.code, 0, outcome.stderr);
    return outcome;
  }
}

function activate(scene: Scene, sockets: readonly string[], args: readonly string[] = []): Service {
  return new Service(scene, sockets, args);
}

/** A client, as soon as somebody listens there. */
function connected(uri: string, listens: () => boolean = () => true): Promise<NbdClient> {
  return until("a client", START_TIMEOUT_MS, async () => {
    if (!listens()) return undefined;
    return await NbdClient.connect(uri, { timeoutMs: START_TIMEOUT_MS }).catch(() => undefined);
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
