import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { Place, socketPath } from "../../nbd/client/testing.ts";
import { FakeDevice } from "../../nbd/server/testing.ts";
import { serve } from "../../nbd/server/testing-server.ts";
import { loadServerTls } from "../../nbd/tls/server-tls.ts";
import type { Target } from "../../nbd/uri.ts";
import { createHeapArenas, createSharedArenas } from "../shared-arenas.ts";
import { linkCompliance } from "../testing/compliance.ts";
import { Recorder } from "../testing/recorder.ts";
import { NbdIncarnations } from "./nbd.ts";
import type { NbdSource } from "./source.ts";

linkCompliance("nbd");

const LIMIT = { timeout: 20_000 };
const DRIVER = { kind: "nbd" };
/** A greeting of fixed newstyle, whose client answers. */
const GREETING = Buffer.concat([Buffer.from("NBDMAGICIHAVEOPT"), Buffer.from([0, 3])]);

/** Behaviours of a server that is no good: what it does with a connection, and what is said of it. */
const FAULTY: readonly [what: string, meet: (socket: Socket) => void, message: RegExp][] = [
  ["closes at once", (socket) => socket.end(), /the server has closed it/],
  [
    "resets the connection in the middle of the handshake",
    (socket) => {
      // What it hasn't read when it closes makes a reset of it.
      socket.write(GREETING);
      socket.pause();
      setTimeout(() => socket.destroy(), 50);
    },
    /ECONNRESET|closed/,
  ],
  [
    "sends rubbish",
    (socket) => socket.write(Buffer.alloc(200, "rubbish")),
    /its greeting is not that of a newstyle NBD server/,
  ],
];

for (const [what, meet, message] of FAULTY) {
  test(`a server that ${what} fails to open, in one line`, LIMIT, () =>
    withServer(meet, async (incarnations, recorder) => {
      incarnations.start(1, DRIVER);
      const failed = await recorder.seen("openFailed", 1);
      assert.match(failed.message, /^Cannot [^\n]+$/);
      assert.match(failed.message, message);
      await recorder.seen("exited", 1);
      assert.deepEqual(recorder.story(), ["openFailed 1", "exited 1"]);
    }),
  );
}

test("a server that never greets can be left, and is not kept waiting", LIMIT, () => {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  return withServer(
    (socket) => socket.once("close", resolve).resume(),
    async (incarnations, recorder, connected) => {
      incarnations.start(1, DRIVER);
      await connected;
      incarnations.kill(1);
      await recorder.seen("exited", 1);
      await closed;
      assert.deepEqual(recorder.story(), ["exited 1"]);
    },
  );
});

test("a connection that finds another export than the first one is not used", LIMIT, async (context) => {
  const exports = {
    list: () => [],
    find: (name: string) => {
      const blockSize = server.connections === 1 ? 512 : 4096;
      return { name, description: "", device: new FakeDevice({ blockSize }) };
    },
  };
  const { server, path } = await serve(context, new FakeDevice(), { exports });
  const recorder = new Recorder();
  const incarnations = remoteIncarnations(path, recorder);
  incarnations.start(1, DRIVER);
  context.after(async () => {
    incarnations.kill(1);
    await recorder.seen("exited", 1);
    incarnations.dispose();
  });
  const { link } = await recorder.seen("opened", 1);
  for (const tag of [0, 1]) link.submit(tag, "read", 0, 512, 512, 4096 * tag);
  link.kick();
  const completions = await Promise.all([0, 1].map((tag) => recorder.completion(1, tag)));
  assert.deepEqual(completions, Array(2).fill({ errno: 0, count: 512 }));
});

test("connections that are made are used, though one more is never greeted", LIMIT, async (context) => {
  const { server, path: behind } = await serve(context, new FakeDevice());
  let met = 0;
  const path = await listen(context, (socket) => {
    if (++met <= 2) pipeTo(behind, socket);
  });
  const recorder = new Recorder();
  const incarnations = remoteIncarnations(path, recorder, 3);
  incarnations.start(1, DRIVER);
  context.after(async () => {
    incarnations.kill(1);
    await recorder.seen("exited", 1);
    incarnations.dispose();
  });
  await recorder.seen("opened", 1);
  assert.deepEqual([met, server.connections], [3, 2]);
});

const SENSELESS = Buffer.alloc(64, "rubbish");

for (const [what, end, fault, how] of [
  [
    "that closes a connection is not waited for",
    (socket: Socket) => socket.destroy(),
    "disconnected",
    /^disconnected$/,
  ],
  ["that is cut off is left alone", (socket: Socket) => socket.write(SENSELESS), "protocol", /left alone for 1000 ms/],
] as const) {
  test(`P4: a server ${what}, with a write unanswered`, LIMIT, async (context) => {
    const device = new FakeDevice();
    device.held = true;
    const { path: behind } = await serve(context, device);
    const { promise: met, resolve: meet } = Promise.withResolvers<Socket>();
    const path = await listen(context, (socket) => {
      pipeTo(behind, socket);
      meet(socket);
    });
    const recorder = new Recorder();
    const incarnations = remoteIncarnations(path, recorder, 1);
    incarnations.start(1, DRIVER);
    const { link } = await recorder.seen("opened", 1);
    link.submit(0, "write", 0, 0, 512, 4096);
    link.kick();
    end(await met);
    assert.equal((await recorder.seen("fault", 1)).fault, fault);
    incarnations.kill(1);
    assert.match((await recorder.seen("exited", 1)).how, how);
    incarnations.dispose();
    device.answerAll();
  });
}

test("a server that has served is waited for, and one that never has is not", LIMIT, async (context) => {
  const place = new Place(context);
  await place.serve();
  const there = { address: place.target.address, name: "disk" };
  const mistyped = { ...there, address: { path: "/nowhere/nbd.sock" } };
  const [known, unknown] = [{ kind: "known" }, { kind: "unknown" }];
  const recorder = new Recorder();
  const incarnations = new NbdIncarnations({
    sourceOf: (driver) => remoteSource(driver === known ? there : mistyped, 1),
    wantsWrites: true,
    memory: createHeapArenas({ writeBytes: 0, readBytes: 0 }),
    events: recorder,
    output: () => {},
  });
  context.after(async () => {
    for (const epoch of [1, 2, 3]) incarnations.kill(epoch);
    await recorder.seen("exited", 2);
    incarnations.dispose();
  });
  incarnations.start(1, known);
  await recorder.seen("opened", 1);
  await place.stop();
  await recorder.seen("fault", 1);
  incarnations.kill(1);
  await recorder.seen("exited", 1);

  incarnations.start(2, known);
  incarnations.start(3, unknown);
  await recorder.seen("exited", 3);
  assert.deepEqual(recorder.story().slice(1), ["fault 1", "exited 1", "openFailed 3", "exited 3"]);
  await place.serve();
  await recorder.seen("opened", 2);
});

test(
  "of a server that isn't ours nothing is known but its replies, for which it may take long",
  LIMIT,
  async (context) => {
    const { path } = await serve(context, new FakeDevice());
    const recorder = new Recorder();
    const incarnations = remoteIncarnations(path, recorder);
    incarnations.start(1, DRIVER);
    const { link } = await recorder.seen("opened", 1);
    incarnations.ping();
    assert.deepEqual(
      [incarnations.beat(), incarnations.pid(1), incarnations.vitals(1), incarnations.usage(1)],
      Array(4).fill(undefined),
    );
    assert.equal(link.patience, 10);
    incarnations.close(1);
    await recorder.seen("exited", 1);
    incarnations.dispose();
  },
);

test("there is nothing to make ready, which is told from the event loop", LIMIT, async () => {
  const incarnations = remoteIncarnations("/nowhere", new Recorder());
  const told: unknown[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  incarnations.prepare(DRIVER, (failure) => {
    told.push(failure);
    resolve();
  });
  assert.deepEqual(told, []);
  await promise;
  assert.deepEqual(told, [undefined]);
});

for (const encrypted of [false, true]) {
  test(`data of all sizes goes through shared arenas${encrypted ? ", encrypted too" : ""}`, LIMIT, async (context) => {
    const psk = join(dirname(socketPath(context)), "keys.psk");
    writeFileSync(psk, "alice:00112233445566778899aabbccddeeff\n");
    const place = new Place(context);
    await place.serve(place.device, encrypted ? { tls: loadServerTls({ mode: "required", psk }) } : {});
    const tls = encrypted ? { tls: { pskFile: psk, username: "alice" } } : {};
    const memory = createSharedArenas({ writeBytes: 0, readBytes: 0 });
    const recorder = new Recorder();
    const incarnations = new NbdIncarnations({
      sourceOf: () => remoteSource({ address: place.target.address, name: "disk", ...tls }, 2),
      wantsWrites: true,
      memory,
      events: recorder,
      output: () => {},
    });
    incarnations.start(1, DRIVER);
    context.after(async () => {
      incarnations.kill(1);
      await recorder.seen("exited", 1);
      incarnations.dispose();
      memory.close();
    });
    const { link } = await recorder.seen("opened", 1);
    for (const [tag, length] of [512, 4096, 32768, 131072, 1 << 20].entries()) {
      const [from] = memory.writes.allocate(length)?.slots ?? [];
      const [into] = memory.reads.allocate(length)?.slots ?? [];
      assert(from !== undefined && into !== undefined);
      const data = randomBytes(length);
      from.bytes.set(data);
      for (const [operation, { address }] of [
        ["write", from],
        ["read", into],
      ] as const) {
        const unique = 2 * tag + (operation === "read" ? 1 : 0);
        link.submit(unique, operation, 0, 1 << 20, length, address);
        link.kick();
        assert.deepEqual(await recorder.completion(1, unique), { errno: 0, count: length });
      }
      assert.equal(data.compare(into.bytes, 0, length), 0);
    }
  });
}

/** Listens at the path that it resolves with, for as long as the test lasts. */
async function listen(context: TestContext, meet: (socket: Socket) => void): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "skink-link-"));
  const path = join(folder, "server.sock");
  const server = createServer((socket) => meet(socket.on("error", () => {})));
  context.after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  server.listen(path);
  await once(server, "listening");
  return path;
}

function pipeTo(path: string, socket: Socket): void {
  const other = connect(path).on("error", () => {});
  socket.pipe(other).pipe(socket);
}

async function withServer(
  meet: (socket: Socket) => void,
  body: (incarnations: NbdIncarnations, recorder: Recorder, connected: Promise<unknown>) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "skink-link-"));
  const path = join(folder, "server.sock");
  const server = createServer((socket) => {
    socket.on("error", () => {});
    meet(socket);
  });
  try {
    server.listen(path);
    await once(server, "listening");
    const recorder = new Recorder();
    const incarnations = remoteIncarnations(path, recorder);
    await body(incarnations, recorder, once(server, "connection"));
    incarnations.dispose();
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
}

function remoteSource(target: Target, connections: number): NbdSource {
  return { type: "server", target, connections, settleMs: undefined };
}

function remoteIncarnations(path: string, events: Recorder, connections = 2): NbdIncarnations {
  return new NbdIncarnations({
    sourceOf: () => remoteSource({ address: { path }, name: "" }, connections),
    wantsWrites: true,
    memory: createHeapArenas({ writeBytes: 0, readBytes: 0 }),
    events,
    output: () => {},
  });
}
