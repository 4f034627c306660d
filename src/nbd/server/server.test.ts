import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { realClock } from "../../front/clock.ts";
import { NbdClient } from "../client/client.ts";
import { formatUri } from "../uri.ts";
import { MAX_PINNED_BYTES } from "./limits.ts";
import { NbdServer, type NbdServerOptions } from "./server.ts";
import { conversation, FakeDevice, oneExport, submitted } from "./testing.ts";
import { serve } from "./testing-server.ts";

const KIB = 1024;
const MIB = KIB * KIB;

interface Bench {
  readonly device: FakeDevice;
  readonly server: NbdServer;
  readonly path: string;
  connect(): Promise<NbdClient>;
}

async function openBench(
  context: TestContext,
  device = new FakeDevice({ size: 64 * MIB }),
  options: Partial<NbdServerOptions> = {},
): Promise<Bench> {
  const served = await serve(context, device, options);
  const uri = formatUri({ address: { path: served.path }, name: "disk" });
  return { ...served, connect: () => NbdClient.connect(uri) };
}

/** A client that says bytes of its own. */
async function rawClient(path: string): Promise<Socket> {
  const socket = connect({ path });
  await once(socket, "connect");
  return socket;
}

test("a client sees what the server offers", async (context) => {
  const { connect: open, path } = await openBench(context);
  const client = await open();
  const { name, description, size, minimumBlockSize, preferredBlockSize, maximumPayload } = client;
  assert.deepEqual(
    { name, description, size, minimumBlockSize, preferredBlockSize, maximumPayload },
    {
      name: "disk",
      description: "a disk",
      size: 64 * MIB,
      minimumBlockSize: 512,
      preferredBlockSize: 4096,
      maximumPayload: 32 * MIB,
    },
  );
  const {
    structured,
    readOnly,
    canFlush,
    canFua,
    canTrim,
    canZero,
    canFastZero,
    canCache,
    canMultiConn,
    canBlockStatus,
  } = client;
  assert.deepEqual([structured, readOnly], [true, false]);
  assert([canFlush, canFua, canTrim, canZero, canFastZero, canCache, canMultiConn, canBlockStatus].every((can) => can));
  await client.close();
  assert.equal(client.connected, false);
  assert.deepEqual(await NbdClient.list({ address: { path } }), [{ name: "disk", description: "a disk" }]);
});

test("every kind of request goes there and back", async (context) => {
  const { connect: open, device } = await openBench(context);
  const client = await open();
  const data = new Uint8Array(8 * KIB).map((_, index) => index % 253);
  await client.write(4 * KIB, data, { fua: true });
  await client.flush();
  await client.zero(4 * KIB, KIB);
  await client.trim(5 * KIB, KIB);
  await client.cache(0, MIB);
  const read = await client.read(0, 16 * KIB);
  const expected = new Uint8Array(16 * KIB);
  expected.set(data.subarray(2 * KIB), 6 * KIB);
  assert.deepEqual(read, expected);
  device.extents = [
    { length: KIB, hole: true, zero: true },
    { length: MIB, hole: false, zero: false },
  ];
  assert.deepEqual(await client.blockStatus(0, 2 * MIB), device.extents);
  assert.deepEqual(await client.blockStatus(0, 2 * MIB, { one: true }), device.extents.slice(0, 1));
  await client.close();
});

test("requests of all sizes up to 32 MiB, many at once, keep their data", async (context) => {
  const { connect: open, device } = await openBench(context);
  const client = await open();
  const large = new Uint8Array(32 * MIB).map((_, index) => (index * 7) % 251);
  await client.write(0, large);
  assert.equal(Buffer.compare(await client.read(0, 32 * MIB), large), 0);
  const lengths = [512, 4 * KIB, 31 * KIB, 32 * KIB, 65 * KIB, 200 * KIB, MIB, 3 * MIB + 512];
  const pieces = lengths.map((length, index) => ({
    offset: index * 4 * MIB,
    data: new Uint8Array(Math.floor(length / 512) * 512).fill(index + 1),
  }));
  await Promise.all(pieces.map(({ offset, data }) => client.write(offset, data)));
  const reads = await Promise.all(pieces.map(({ offset, data }) => client.read(offset, data.length)));
  for (const [index, { data }] of pieces.entries()) assert.equal(Buffer.compare(reads[index] ?? large, data), 0);
  assert.equal(device.reads.usedBytes + device.writes.usedBytes, 0);
  await client.close();
});

test("thousands of requests at once, over the limits of a connection, all get their replies", async (context) => {
  const { connect: open, device } = await openBench(context);
  const client = await open();
  device.content.fill(9);
  const reads = await Promise.all(
    Array.from({ length: 3000 }, (_, index) => client.read((index % 1000) * 8 * KIB, 8 * KIB)),
  );
  assert(reads.every((read) => read.length === 8 * KIB && read[0] === 9 && read[8 * KIB - 1] === 9));
  assert.equal(device.reads.usedBytes, 0);
  await client.close();
});

test("an error of the device rejects its request alone, with its name", async (context) => {
  const { path, device } = await openBench(context);
  const client = await NbdClient.connect({ address: { path }, name: "disk" }, { strict: false });
  await assert.rejects(client.read(1, 512), { code: "EINVAL" });
  await assert.rejects(client.write(64 * MIB, new Uint8Array(512)), { code: "ENOSPC" });
  device.errno = 5;
  await assert.rejects(client.flush(), {
    code: "EIO",
    message: "Cannot flush: the server answered EIO, success was wanted",
  });
  device.errno = 0;
  await client.flush();
  await client.close();
});

test("a connection that dies rejects every request that waits", async (context) => {
  const { connect: open, device, server } = await openBench(context);
  device.held = true;
  const client = await open();
  const waiting = [client.read(0, 512), client.flush()];
  const rejected = Promise.all(waiting.map((promise) => assert.rejects(promise, { code: "disconnected" })));
  await server.close(0);
  await rejected;
  await assert.rejects(client.read(0, 512), { code: "disconnected" });
  await client.close();
});

test("close finishes what is in flight and refuses what comes after", async (context) => {
  const { connect: open, device, server, path } = await openBench(context);
  device.held = true;
  const client = await open();
  const write = client.write(0, new Uint8Array(512).fill(1));
  await submitted(device, 1);
  const closing = server.close();
  await assert.rejects(client.read(0, 512), { code: "ESHUTDOWN" });
  device.answerAll();
  await write;
  await closing;
  assert.equal(device.content[0], 1);
  assert.equal(server.connections, 0);
  assert.equal(existsSync(path), false);
  await client.close();
});

test("a client that does not read its replies keeps no memory of reads after unpinAll", async (context) => {
  const { device, server, path } = await openBench(context);
  device.content.fill(1);
  const socket = await rawClient(path);
  socket.pause();
  socket.write(conversation(12, MIB));
  await submitted(device, 4);
  await new Promise((resolve) => setImmediate(resolve));
  assert(device.reads.usedBytes > 2 * MIB);
  server.unpinAll();
  assert(device.reads.usedBytes <= 2 * MIB);
  socket.destroy();
});

test("clients that do not read their replies, however many, leave memory of reads for the others", async (context) => {
  const { device, server, path } = await openBench(context);
  device.content.fill(1);
  const clients = await Promise.all(Array.from({ length: 24 }, () => rawClient(path)));
  const all = submitted(device, 2 * clients.length);
  for (const socket of clients) {
    socket.pause();
    socket.write(conversation(2, MIB));
  }
  await all;
  await new Promise((resolve) => setImmediate(resolve));
  server.unpinAll();
  assert(device.reads.usedBytes <= MAX_PINNED_BYTES);
  for (const socket of clients) socket.destroy();
  while (server.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(device.reads.usedBytes, 0);
});

test("a server that is closed while it begins to listen listens nowhere", async (context) => {
  const { path } = await openBench(context);
  const server = new NbdServer({ exports: oneExport(new FakeDevice()), clock: realClock, hungUp: () => false });
  const listening = server.listen({ path: `${path}.late` });
  await Promise.all([server.close(), assert.rejects(listening, { code: "cannot-listen" })]);
  assert.equal(existsSync(`${path}.late`), false);
});

test("a client that vanishes in the middle of anything leaves nothing", async (context) => {
  const { device, server, path } = await openBench(context);
  const bytes = conversation(3, 64 * KIB);
  for (let length = 0; length <= bytes.length; length += 7) {
    const socket = await rawClient(path);
    socket.on("error", () => {});
    socket.write(bytes.subarray(0, length), () => socket.destroy());
    await once(socket, "close");
  }
  while (server.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(device.admitted + device.reads.usedBytes + device.writes.usedBytes, 0);
});

test("rule 10: over the limit of connections a client is turned away, and the others stay", async (context) => {
  const { connect: open } = await openBench(context, new FakeDevice(), { maxConnections: 1 });
  const client = await open();
  await assert.rejects(open(), { code: "disconnected" });
  await client.flush();
  await client.close();
});

test("a stale socket file is replaced, a live one and another file are errors", async (context) => {
  const { path } = await openBench(context);
  const options = { exports: oneExport(new FakeDevice()), clock: realClock, hungUp: () => false };
  const other = new NbdServer(options);
  await assert.rejects(other.listen({ path }), { code: "address-in-use" });

  const file = `${path}.txt`;
  writeFileSync(file, "precious");
  await assert.rejects(other.listen({ path: file }), { code: "cannot-listen" });
  assert.equal(existsSync(file), true);
  await assert.rejects(other.listen({ path: join(path, "nowhere") }), { code: "cannot-listen" });

  const stale = await staleSocket(`${path}.stale`);
  await other.listen({ path: stale });
  assert.equal((await NbdClient.list({ address: { path: stale } })).length, 1);
  await other.close();
});

test("TCP serves on a port of its choice, and a port in use is an error", async () => {
  const options = { exports: oneExport(new FakeDevice()), clock: realClock, hungUp: () => false };
  const server = new NbdServer(options);
  const address = await server.listen({ host: "127.0.0.1", port: 0 });
  await assert.rejects(new NbdServer(options).listen(address), { code: "address-in-use" });
  const client = await NbdClient.connect({ address, name: "disk" });
  await client.write(0, new Uint8Array(512).fill(4));
  assert.equal((await client.read(0, 512))[511], 4);
  await client.close();
  await server.close();
});

test("an unknown export and a missing server are told apart", async (context) => {
  const { path } = await openBench(context);
  await assert.rejects(NbdClient.connect({ address: { path }, name: "tape" }), { code: "unknown-export" });
  await assert.rejects(NbdClient.connect({ address: { path: `${path}.none` } }), { code: "cannot-connect" });
});

test("a server that talks something else is a bad server", async (context) => {
  const { path } = await openBench(context);
  const http = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  http.listen(`${path}.http`);
  await once(http, "listening");
  await assert.rejects(NbdClient.connect({ address: { path: `${path}.http` } }), { code: "bad-server" });
  http.close();
  await once(http, "close");
});

/** A socket file that nobody listens at: bound by a process that is gone. */
async function staleSocket(path: string): Promise<string> {
  const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  const child = spawn(process.execPath, ["-e", script], { stdio: "ignore" });
  await once(child, "exit");
  assert.equal(existsSync(path), true);
  return path;
}
