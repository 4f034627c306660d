import { strict as assert } from "node:assert";
import { readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { test } from "node:test";
import { askFront } from "../src/front/control-client.ts";
import { NbdClient } from "../src/nbd/index.ts";
import { clientOf, newDisk } from "./foreign.ts";
import { newest, nextEvent } from "./front-events.ts";
import { processesOf } from "./leftovers.ts";
import { EXAMPLES, ended, inScene, type Scene, SKINK } from "./scene.ts";
import { type Front, serve } from "./serve.ts";
import { SickDisk, signal } from "./sick-disk.ts";
import { until } from "./until.ts";

/** Acknowledges writes, and never finishes a flush. */
const STUCK = `
export default {
  open: () => ({
    size: 1 << 20,
    read(offset, into) { into.fill(0); },
    write() {},
    flush: () => new Promise(() => {}),
  }),
};
`;
const STUCK_STOP_TIMEOUT_MS = 300;
const COUNTED_TIMEOUT_MS = 5000;
const SPARE_TIMEOUT_MS = 5000;

test("status --json has the documented keys, and no others", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:8M", { args: ["--name", "disk"] });
    await front.killDriver();
    const { devices, ...rest } = JSON.parse(await command(scene, front, "status", "--json"));
    assert.deepEqual(Object.keys(rest), ["pid"]);
    assert.equal(typeof rest.pid, "number");
    assert.equal(devices.length, 1);
    const [{ recoveries, counters, shadow, driver, ...device }] = devices;
    assert.deepEqual(Object.keys(device).sort(), ["epoch", "home", "name", "restarts", "size", "state", "uri"]);
    assert.deepEqual(Object.keys(shadow).sort(), ["bytes", "limitBytes", "pieces"]);
    assert.deepEqual(Object.keys(driver).sort(), ["kind", "pid"]);
    const times = ["detectMs", "openMs", "replayMs", "totalMs"];
    assert.deepEqual(Object.keys(recoveries[0]).sort(), [...times, "epoch", "reason"].sort());
    for (const key of times) assert.ok(recoveries[0][key] >= 0, key);
    assert.equal(device.name, "disk");
    assert.equal(device.home, "memory");
    assert.equal(device.uri, front.uri);
    assert.equal(device.size, 8 << 20);
    assert.equal(device.state, "live");
    assert.equal(device.restarts, 1);
    assert.equal(device.epoch, recoveries[0].epoch);
    assert.match(recoveries[0].reason, /SIGKILL/);
    assert.equal(driver.kind, "memory");
    assert.equal(counters.errors, 0);
    await front.stop();
  }));

test("a front that nothing befalls", async (context) => {
  await inScene(async (scene) => {
    const front = await serve(scene, "memory:8M", { args: ["--name", "disk"] });

    await context.test("status says for people what every device is doing", async () => {
      const [heads, line] = (await command(scene, front, "status")).split("\n");
      assert.match(heads ?? "", /^NAME +STATE +SIZE +DRIVER/);
      assert.match(line ?? "", /^disk +live +8M +memory/);
    });

    await context.test("a device that isn't there is named, with those that are", async () => {
      const { code, stderr } = await scene.skink("kill", "dusk", "--control", front.control);
      assert.equal(code, 1);
      assert.equal(stderr, "Cannot kill dusk: there is no such device, one of disk was wanted\n");
    });

    await context.test("the control socket is for its user alone", () => {
      assert.equal(statSync(front.control).mode & 0o777, 0o600);
    });

    await front.stop();
  });
});

test("a front whose driver the operator ends", async (context) => {
  await inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=8M`);
    const client = await clientOf(scene, front);

    await context.test("kill costs an incarnation and nothing else", async () => {
      await client.write(4096, data(1));
      const before = await front.device();
      await command(scene, front, "kill", front.name);
      assert.deepEqual(await client.read(4096, 4096), data(1));
      const after = await front.until("live", before.epoch);
      assert.equal(after.restarts, before.restarts + 1);
      assert.equal(after.counters.replayedPieces, 1);
      assert.equal(after.recoveries.at(-1)?.reason, "killed by the operator");
    });

    await context.test(
      "restart is a planned one: the next epoch, with nothing to replay and nothing lost",
      async () => {
        await client.write(0, data(2));
        const before = await front.device();
        await command(scene, front, "restart", front.name);
        assert.deepEqual(await client.read(0, 4096), data(2));
        const after = await front.until("live", before.epoch);
        assert.equal(after.epoch, before.epoch + 1);
        assert.equal(after.counters.replayedPieces, before.counters.replayedPieces);
        assert.equal(after.recoveries.at(-1)?.reason, "restarted by the operator");
        assert.notEqual(after.driver.pid, before.driver.pid);
      },
    );

    await client.close();
    await front.stop();
  });
});

for (const [how, open] of [
  ["doesn't open", "throw new Error('broken version');"],
  ["ends while it opens", "process.exit(3);"],
] as const) {
  test(`a restart with a new version that ${how} says so, and the device goes on when it does`, () =>
    inScene(async (scene) => {
      const works = "export default { open: () => ({ size: 1 << 20, read(offset, into) { into.fill(7); } }) };";
      const front = await serve(scene, scene.write("versions.ts", works), { args: ["--name", "disk"] });
      const { epoch } = await front.device();
      scene.write("versions.ts", `export default { open() { ${open} } };`);
      const { code, stderr } = await scene.skink("restart", "disk", "--control", front.control);
      assert.equal(code, 1);
      assert.match(stderr, /^Cannot restart disk: [^\n]*(broken version|exit code 3)[^\n]*tried again[^\n]*\n$/);
      scene.write("versions.ts", works);
      await front.until("live", epoch);
      await front.stop();
    }));
}

test("stop ends the front well, with everything durable", () =>
  inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=8M&path=${scene.path("disk.img")}`);
    const client = await NbdClient.connect(front.uri);
    await client.write(8192, data(3));
    await command(scene, front, "stop");
    assert.equal((await front.ended).code, 0);
    assert.deepEqual(await scene.leftovers(), []);
    client.destroy();

    const next = await serve(scene, `file:${scene.path("disk.img")}`);
    const reader = await NbdClient.connect(next.uri);
    assert.deepEqual(await reader.read(8192, 4096), data(3));
    await reader.close();
    await next.stop();
  }));

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} lets what is in flight end, and then stops`, () =>
    inScene(async (scene) => {
      const front = await serve(scene, "null:8M?latency=500ms");
      const client = await NbdClient.connect(front.uri);
      const writing = client.write(0, data(4));
      const reading = client.read(0, 4096);
      // Whoever has been answered after them has shown that they are in.
      await until("the requests to be in flight", COUNTED_TIMEOUT_MS, async () => {
        const { counters } = await front.device();
        return counters.writes + counters.reads === 2 ? true : undefined;
      });
      const ended = front.end(signal);
      await writing;
      await reading;
      assert.equal((await ended).code, 0);
      client.destroy();
    }));
}

test("a driver that is stuck at the stop is killed, and the exit says what was not released", () =>
  inScene(async (scene) => {
    scene.write("stuck.ts", STUCK);
    const front = await serveYaml(
      scene,
      `
devices:
  - name: disk
    spec: ./stuck.ts
    policy: { stopTimeoutMs: ${STUCK_STOP_TIMEOUT_MS} }
`,
    );
    const client = await NbdClient.connect(front.uri);
    await client.write(0, data(5));
    const stop = await scene.skink("stop", "--control", front.control);
    assert.equal(stop.code, 1, stop.stdout);
    assert.match(stop.stderr, /disk/);
    assert.match(stop.stderr, /1 acknowledged piece/);
    const { code, stderr } = await front.ended;
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`disk.*within ${STUCK_STOP_TIMEOUT_MS} ms.*1 acknowledged piece`));
    assert.deepEqual(await scene.leftovers(), []);
    client.destroy();
  }));

test("a front that drains lets nobody new in", () =>
  inScene(async (scene) => {
    const front = await serve(scene, scene.write("stuck.ts", STUCK));
    const client = await NbdClient.connect(front.uri);
    await client.write(0, data(5));
    const ended = front.end("SIGTERM");
    await assert.rejects(async () => {
      for (;;) await client.read(0, 512);
    });
    await assert.rejects(NbdClient.connect(front.uri), { code: "cannot-connect" });
    // It is still there, and waits for its driver's flush.
    assert.equal((await front.device()).state, "stopping");
    await front.end("SIGTERM");
    assert.equal((await ended).code, 1);
    client.destroy();
  }));

test("the second signal ends a front at once", () =>
  inScene(async (scene) => {
    const front = await serve(scene, scene.write("stuck.ts", STUCK));
    const client = await NbdClient.connect(front.uri);
    await client.write(0, data(5));
    const first = front.end("SIGINT");
    // What shows that the first one has been taken: new requests are refused.
    await assert.rejects(async () => {
      for (;;) await client.read(0, 512);
    });
    await front.end("SIGINT");
    const { code, stderr } = await first;
    assert.equal(code, 1);
    assert.match(stderr, /told to stop at once/);
    assert.deepEqual(await scene.leftovers(), []);
    client.destroy();
  }));

test("a signal ends a front that is still opening its driver", () =>
  inScene(async (scene) => {
    const module = scene.write("endless.ts", "export default { open: () => new Promise(() => {}) };");
    const front = await serve(scene, module, { devices: 0 });
    await until("the front to answer", COUNTED_TIMEOUT_MS, () => front.status().catch(() => undefined));
    const { code, stderr } = await front.end("SIGTERM");
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot start endless: it was stopped meanwhile/m);
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("a configuration serves several devices, each with a driver of its own", () =>
  inScene(async (scene) => {
    const yaml = `
devices:
  - name: one
    spec: memory:1M
  - name: two
    driver: file
    options: { path: two.img, size: 2M }
  - name: three
    spec: memory:3M
    link: inline
`;
    const front = await serveYaml(scene, yaml, 3);
    const names = ["one", "two", "three"];
    assert.deepEqual(
      front.ready.map(({ name }) => name),
      names,
    );
    const clients = await Promise.all(front.ready.map(({ uri }) => NbdClient.connect(uri)));
    for (const [index, client] of clients.entries()) {
      assert.equal(client.size, (index + 1) << 20);
      await client.write(0, data(index + 1));
    }
    await command(scene, front, "kill", "two");
    for (const [index, client] of clients.entries()) assert.deepEqual(await client.read(0, 4096), data(index + 1));
    const { devices } = await front.status();
    assert.deepEqual(
      devices.map(({ name, restarts }) => [name, restarts]),
      [
        ["one", 0],
        ["two", 1],
        ["three", 0],
      ],
    );
    await Promise.all(clients.map((client) => client.close()));
    await front.stop();
  }));

test("a configuration says where to listen, and what clients may do", () =>
  inScene(async (scene) => {
    const yaml = `
devices:
  - { name: one, spec: "memory:1M" }
  - { name: two, spec: "null:2M", readOnly: true, link: inline }
listen: { socket: own.sock }
control: own.control
`;
    scene.write("skink.yaml", yaml);
    const front = ended(scene.spawn(process.execPath, [SKINK, "serve", "skink.yaml"]));
    const control = scene.path("own.control");
    const uri = await until("the front to be ready", COUNTED_TIMEOUT_MS, async () => {
      const status = await askFront(control, { command: "status" }).catch(() => undefined);
      const two = status?.devices[1];
      return two === undefined || two.uri === "" ? undefined : two.uri;
    });
    assert.ok(uri.endsWith(`socket=${scene.path("own.sock")}`), uri);
    const client = await NbdClient.connect(uri);
    assert.equal(client.size, 2 << 20);
    assert.equal(client.readOnly, true);
    await client.close();
    assert.equal((await scene.skink("stop", "--control", "own.control")).code, 0);
    assert.equal((await front).code, 0);
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("commands without --control find the only front there is", () =>
  inScene(async (scene) => {
    const child = scene.skink("serve", "memory:1M", "--name", "alone");
    const status = await until("the front to be found", COUNTED_TIMEOUT_MS, async () => {
      const { code, stdout } = await scene.skink("status", "--json");
      return code === 0 && stdout.includes('"live"') ? JSON.parse(stdout) : undefined;
    });
    assert.equal(status.devices[0].name, "alone");
    assert.equal((await scene.skink("stop")).code, 0);
    assert.equal((await child).code, 0);
    assert.deepEqual(await scene.leftovers(), []);
  }));

test("--read-only refuses writes", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M", { args: ["--read-only"] });
    const client = await NbdClient.connect(front.uri, { strict: false });
    assert.equal(client.readOnly, true);
    await assert.rejects(client.write(0, data(6)), { code: "EPERM" });
    assert.deepEqual(await client.read(0, 4096), new Uint8Array(4096));
    await client.close();
    await front.stop();
  }));

test("--port serves TCP, on the loopback interface", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M", { args: ["--port", "0", "--name", "disk"], ownListener: true });
    assert.match(front.uri, /^nbd:\/\/127\.0\.0\.1:[1-9]\d*\/disk$/);
    const client = await NbdClient.connect(front.uri);
    await client.write(0, data(7));
    assert.deepEqual(await client.read(0, 4096), data(7));
    await client.close();
    await front.stop();
  }));

test("--link inline serves from the front's own process", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M", { args: ["--link", "inline"] });
    assert.equal((await front.device()).driver.pid, null);
    const client = await NbdClient.connect(front.uri);
    await client.write(0, data(8));
    assert.deepEqual(await client.read(0, 4096), data(8));
    await client.close();
    await front.stop();
  }));

test("--standby, --verify and --fallback do for one device what a configuration does", () =>
  inScene(async (scene) => {
    const file = newDisk(scene);
    const link = scene.path("link.img");
    symlinkSync(file, link);
    const disk = new SickDisk(scene, "disk", `path=${link}`);
    const args = ["--name", "disk", "--standby", "--verify", "digests", "--fallback", `file:${file}`];
    const front = await serve(scene, disk.spec, { args });
    const client = await clientOf(scene, front);
    await client.write(0, data(9));
    await client.flush();

    const hosts = await until("a spare driver host", SPARE_TIMEOUT_MS, () => {
      const found = hostsOf(scene);
      return found.length === 2 ? found : undefined;
    });
    const { driver } = await front.killDriver();
    assert.ok(driver.pid !== null && hosts.includes(driver.pid), "it was there before");

    let after = await newest(front);
    await disk.orderOnce(front, "read@0 corrupt");
    assert.deepEqual(await client.read(0, 4096), data(9));
    assert.equal((await nextEvent(front, "lie", { after })).cure, "read again");

    after = await newest(front);
    rmSync(link);
    await signal(front, "disk", "SIGKILL");
    await nextEvent(front, "fallback", { after });
    assert.deepEqual(await client.read(0, 4096), data(9));
    assert.equal((await front.until("live")).driver.kind, "file");
    await front.stop();
  }));

for (const link of ["process", "inline"]) {
  test(`a driver that lies anywhere on the disk finds skink/driver over the link ${link}`, () =>
    inScene(async (scene) => {
      const module = scene.write("elsewhere.ts", readFileSync(`${EXAMPLES}/tiny.ts`));
      const front = await serve(scene, module, { args: ["--link", link] });
      assert.equal(front.name, "elsewhere");
      await front.stop();
    }));
}

test("what a driver prints goes to the log, and not to stdout", () =>
  inScene(async (scene) => {
    const source = `
console.log("printed by the driver");
process.stderr.write("and this, too\\n");
export default { open: (options, context) => (context.log("logged"), { size: 4096, read() {} }) };
`;
    const front = await serve(scene, scene.write("talks.ts", source));
    const { stdout, stderr } = await front.stop();
    assert.doesNotMatch(stdout, /driver|too/);
    for (const said of [/printed by the driver/, /and this, too/, /logged/]) assert.match(stderr, said);
  }));

/** The process ids of its driver hosts. What only holds the memory of one bears its name, and has no open file. */
function hostsOf(scene: Scene): number[] {
  const named = processesOf(scene.folder).filter(({ command }) => command.startsWith("skink-host"));
  return named.map(({ pid }) => pid).filter((pid) => readdirSync(`/proc/${pid}/fd`).length > 0);
}

/** Runs a command on a front, which has to go well. Returns what it prints. */
async function command(scene: Scene, front: Front, name: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await scene.skink(name, ...args, "--control", front.control);
  assert.equal(code, 0, `${name} ended with ${code}: ${stderr}`);
  return stdout;
}

function serveYaml(scene: Scene, yaml: string, devices = 1): Promise<Front> {
  return serve(scene, scene.write("skink.yaml", yaml), { devices });
}

function data(fill: number): Uint8Array {
  return new Uint8Array(4096).fill(fill);
}
