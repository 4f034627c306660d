import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FakeDevice } from "../../nbd/server/testing.ts";
import { serve } from "../../nbd/server/testing-server.ts";
import { createHeapArenas } from "../shared-arenas.ts";
import { linkCompliance } from "../testing/compliance.ts";
import { Recorder } from "../testing/recorder.ts";
import { NbdIncarnations } from "./nbd.ts";

linkCompliance("nbd");

const LIMIT = { timeout: 20_000 };
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
      incarnations.start(1);
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
      incarnations.start(1);
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
  incarnations.start(1);
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
  incarnations.start(1);
  context.after(async () => {
    incarnations.kill(1);
    await recorder.seen("exited", 1);
    incarnations.dispose();
  });
  await recorder.seen("opened", 1);
  assert.deepEqual([met, server.connections], [3, 2]);
});

const SENSELESS = Buffer.alloc(64, "rubbish");

for (const [what, end, how] of [
  ["that closes a connection is not waited for", (socket: Socket) => socket.destroy(), /^disconnected$/],
  ["that is cut off is left alone", (socket: Socket) => socket.write(SENSELESS), /left alone for 1000 ms/],
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
    incarnations.start(1);
    const { link } = await recorder.seen("opened", 1);
    link.submit(0, "write", 0, 0, 512, 4096);
    link.kick();
    end(await met);
    await recorder.seen("fault", 1);
    incarnations.kill(1);
    assert.match((await recorder.seen("exited", 1)).how, how);
    incarnations.dispose();
    device.answerAll();
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

function remoteIncarnations(path: string, events: Recorder, connections = 2): NbdIncarnations {
  return new NbdIncarnations({
    source: { type: "server", target: { address: { path }, name: "" }, connections, settleMs: undefined },
    wantsWrites: true,
    memory: createHeapArenas({ writeBytes: 0, readBytes: 0 }),
    events,
    output: () => {},
  });
}
