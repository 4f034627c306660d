import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import { askFront } from "./control-client.ts";
import { MAX_REQUEST_BYTES } from "./control-protocol.ts";
import { ControlServer } from "./control-server.ts";

const folder = mkdtempSync(join(tmpdir(), "skink-control-"));
after(() => rmSync(folder, { recursive: true }));

test("the socket is for its user alone, and is gone after the close", async () => {
  const path = join(folder, "mode");
  const server = await ControlServer.listen(path, () => null);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await server.close();
  assert.equal(existsSync(path), false);
});

test("what the front answers, or refuses, reaches who asked", async (t) => {
  const server = await ControlServer.listen(join(folder, "ask"), (request) => {
    if (request.command === "status") return { devices: [] };
    throw new SkinkError("unknown-device", "Cannot kill x: there is no such device");
  });
  t.after(() => server.close());
  assert.deepEqual(await askFront(server.path, { command: "status" }), { devices: [] });
  await assert.rejects(askFront(server.path, { command: "kill", name: "x" }), { code: "unknown-device" });
});

test("a socket that a dead front left behind is replaced", async () => {
  const path = join(folder, "stale");
  const listen = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", listen]);
  assert.equal(existsSync(path), true);
  const server = await ControlServer.listen(path, () => null);
  assert.equal(await askFront(path, { command: "restart", name: "x" }), null);
  await server.close();
});

test("a living front's socket, and a file that is none, are left alone", async (t) => {
  const server = await ControlServer.listen(join(folder, "living"), () => null);
  t.after(() => server.close());
  await assert.rejects(
    ControlServer.listen(server.path, () => null),
    { code: "address-in-use" },
  );
  const file = join(folder, "file");
  writeFileSync(file, "precious");
  await assert.rejects(
    ControlServer.listen(file, () => null),
    SkinkError,
  );
  assert.equal(existsSync(file), true);
});

test("who does not read the replies gets no more of them before that, and then all", async (t) => {
  const asked = 32;
  let answered = 0;
  const begun = Promise.withResolvers<void>();
  const server = await ControlServer.listen(join(folder, "deaf"), () => {
    answered++;
    begun.resolve();
    return "x".repeat(1 << 20);
  });
  t.after(() => server.close());
  const socket = connect({ path: server.path });
  socket.pause();
  socket.write('{"command":"status"}\n'.repeat(asked));
  await begun.promise;
  // The others came with the first: by the next turn of its event loop the server would have answered them.
  await nextTurn();
  assert.equal(answered, 1);
  let replies = 0;
  for await (const chunk of socket) {
    replies += (chunk as Buffer).filter((byte) => byte === 10).length;
    if (replies === asked) break;
  }
  assert.equal(answered, asked);
});

test("a path with nobody behind it is named", async () => {
  await assert.rejects(askFront(join(folder, "nobody"), { command: "stop" }), { code: "no-front", message: /nobody/ });
});

test("an endless request ends the connection", async (t) => {
  const server = await ControlServer.listen(join(folder, "endless"), () => null);
  t.after(() => server.close());
  const socket = connect({ path: server.path });
  socket.on("error", () => {});
  socket.write("x".repeat(2 * MAX_REQUEST_BYTES));
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
});
