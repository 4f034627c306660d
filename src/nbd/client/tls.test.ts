import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { submitted } from "../server/testing.ts";
import { loadServerTls } from "../tls/server-tls.ts";
import { encodeOptionReply } from "../wire/option-replies.ts";
import { OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { NbdClient } from "./client.ts";
import { haggleAsServer, KIB, MIB, Place, plainAnswers, scripted, socketPath } from "./testing.ts";

const ACK = encodeOptionReply(OPTION.STARTTLS, OPTION_REPLY.ACK);

/** A file of pre-shared keys, for users alice and bob. */
function pskFile(context: TestContext, alice = "00112233445566778899aabbccddeeff"): string {
  const path = join(dirname(socketPath(context)), "keys.psk");
  writeFileSync(path, `alice:${alice}\nbob:ffeeddccbbaa99887766554433221100\n`);
  return path;
}

/** A place that serves with TLS alone, and the target for a client with alice's key. */
async function encrypted(context: TestContext) {
  const place = new Place(context);
  const psk = pskFile(context);
  const options = { tls: loadServerTls({ mode: "required", psk }) };
  await place.serve(place.device, options);
  const target = { ...place.target, tls: { pskFile: psk, username: "alice" } };
  return { place, target, serve: () => place.serve(place.device, options) };
}

test("a server with TLS is talked to as one without, with data of all sizes", async (context) => {
  const { target } = await encrypted(context);
  const client = await NbdClient.connect(target);
  assert.equal(client.extended, true);
  const data = Buffer.alloc(33 * MIB, "encrypted");
  await client.write(0, data);
  assert.equal(Buffer.compare(await client.read(0, data.length), data), 0);
  await Promise.all(Array.from({ length: 500 }, (_, index) => client.write(index * 4 * KIB, new Uint8Array(4 * KIB))));
  await client.flush();
  await client.close();
  assert.deepEqual(await NbdClient.list(target), [{ name: "disk", description: "a disk" }]);
  assert.equal((await NbdClient.info(target)).size, 64 * MIB);
});

test("a lost connection is encrypted again when it is made again", async (context) => {
  const { place, target, serve } = await encrypted(context);
  const client = await NbdClient.connect(target, { reconnect: { delayMs: 1, maxDelayMs: 4, attempts: 1000 } });
  place.device.held = true;
  const one = submitted(place.device, 1);
  const read = client.read(0, 512);
  await one;
  await place.stop();
  await serve();
  assert.equal((await read).length, 512);
  await client.close();
});

test("what is wrong with keys is said, and nothing goes on in plain text", async (context) => {
  const { place, target } = await encrypted(context);
  await assert.rejects(NbdClient.connect(place.target), { code: "tls-required" });
  const other = pskFile(context, "99");
  await assert.rejects(NbdClient.connect({ ...target, tls: { pskFile: other, username: "alice" } }), {
    code: "tls-failed",
  });
  await assert.rejects(NbdClient.connect({ ...target, tls: { pskFile: other, username: "eve" } }), {
    code: "bad-credentials",
  });
  await assert.rejects(NbdClient.connect({ ...target, tls: { type: "psk" } }), { code: "bad-tls" });
});

test("a server that refuses TLS is left, whatever it would do in plain text", async (context) => {
  const asked: number[] = [];
  const target = await scripted(context, (socket) => {
    haggleAsServer(socket, (option) => {
      asked.push(option);
      return plainAnswers(option);
    });
  });
  await assert.rejects(NbdClient.connect({ ...target, tls: {} }), {
    code: "tls-failed",
    message: /it answered STARTTLS with ERR_UNSUP/,
  });
  assert.deepEqual(asked, [OPTION.STARTTLS]);
  asked.length = 0;
  const plain = await NbdClient.connect(target);
  assert(!asked.includes(OPTION.STARTTLS), "nobody had asked for TLS");
  plain.destroy();
});

test("plain text that comes along with the consent to TLS is refused", async (context) => {
  const injected = encodeOptionReply(OPTION.EXTENDED_HEADERS, OPTION_REPLY.ACK);
  const target = await scripted(context, (socket) => haggleAsServer(socket, () => Buffer.concat([ACK, injected])));
  await assert.rejects(NbdClient.connect({ ...target, tls: {} }), {
    code: "bad-server",
    message: /plain text behind its consent/,
  });
});

test("plain text that comes in place of TLS fails, and so does a server that goes away", async (context) => {
  const talkative = await scripted(context, (socket) => {
    haggleAsServer(
      socket,
      () => ACK,
      () => socket.write(encodeOptionReply(OPTION.EXTENDED_HEADERS, OPTION_REPLY.ACK)),
    );
  });
  await assert.rejects(NbdClient.connect({ ...talkative, tls: {} }), { code: "tls-failed" });
  const gone = await scripted(context, (socket) => {
    haggleAsServer(socket, () => {
      setImmediate(() => socket.end());
      return ACK;
    });
  });
  await assert.rejects(NbdClient.connect({ ...gone, tls: {} }), { code: "tls-failed" });
});

test("a TLS handshake that never ends is ended by the time limit", async (context) => {
  const target = await scripted(context, (socket) => haggleAsServer(socket, () => ACK));
  await assert.rejects(NbdClient.connect({ ...target, tls: {} }, { timeoutMs: 300 }), { code: "tls-failed" });
});
