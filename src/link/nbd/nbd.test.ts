import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
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
    /its greeting is not that of an NBD server/,
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
    const incarnations = new NbdIncarnations({
      source: { type: "server", target: { address: { path }, name: "" }, connections: 2, settleMs: undefined },
      wantsWrites: true,
      memory: createHeapArenas({ writeBytes: 0, readBytes: 0 }),
      events: recorder,
      output: () => {},
    });
    await body(incarnations, recorder, once(server, "connection"));
    incarnations.dispose();
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
}
