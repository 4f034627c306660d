import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isListening } from "./listening.ts";

test("a socket listens from its listen to its close, whoever is connected", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "skink-listening-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "nbd.sock");
  assert.equal(isListening(path), false);
  const server = createServer().listen(path);
  await once(server, "listening");
  assert.equal(isListening(path), true);
  assert.equal(isListening(path.slice(0, -1)), false);
  assert.equal(isListening(path.slice(1)), false);

  const [[accepted]] = await Promise.all([once(server, "connection"), once(connect(path), "connect")]);
  server.close();
  assert.equal(isListening(path), false);
  accepted.destroy();
});
