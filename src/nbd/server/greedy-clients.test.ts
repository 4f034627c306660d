import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { ManualClock } from "../../shadow/testing.ts";
import { DEFAULT_LIMITS, MAX_TURN_REQUESTS } from "./limits.ts";
import { RareLine } from "./rare-line.ts";
import { Session } from "./session.ts";
import { conversation, FakeDevice, FakeTransport, feed, oneExport } from "./testing.ts";
import { serve } from "./testing-server.ts";

const MIB = 1 << 20;
const WAIT_MS = 10_000;

test("of a client that asks for much at once, a turn's worth is taken at a time", () => {
  const [device, transport, clock] = [new FakeDevice(), new FakeTransport(), new ManualClock()];
  const session = new Session({ transport, exports: oneExport(device), clock });
  assert(DEFAULT_LIMITS.inFlightRequests > MAX_TURN_REQUESTS);
  // A turn is kicked once.
  const kick = device.kick.bind(device);
  const turns: number[] = [];
  device.kick = () => {
    turns.push(device.log.length);
    kick();
  };
  feed(session, transport, conversation(3 * MAX_TURN_REQUESTS, 512));
  assert.deepEqual(turns, [MAX_TURN_REQUESTS]);
  clock.advance(0);
  assert.deepEqual(turns, [MAX_TURN_REQUESTS, 2 * MAX_TURN_REQUESTS, 3 * MAX_TURN_REQUESTS]);
  assert.equal(transport.paused, false);
  session.closed();
  assert.equal(clock.timers, 0);
});

test("past the limit of output the client that has not read for longest is cut off, and nobody else", async (context) => {
  const lines: string[] = [];
  const log = { info: () => {}, warn: (line: string) => lines.push(line), error: () => {} };
  const { path, server, device } = await serve(context, new FakeDevice({ size: MIB }), {
    maxOutputBytes: 10 * MIB,
    log,
  });
  device.content.fill(1);
  const reader = await client(path);
  reader.resume();
  const deaf: Socket[] = [];
  for (let index = 0; index < 3; index++) {
    const socket = await client(path);
    deaf.push(socket);
    socket.write(conversation(4, MIB));
    await until(() => device.log.length === 4 * deaf.length);
  }
  // Two of them wait for less than the limit, the third brings it about.
  await until(() => server.connections === 3);
  reader.write(conversation(1, MIB));
  await until(() => reader.bytesRead > MIB);
  const [first, ...others] = deaf;
  assert(first !== undefined);
  first.resume();
  await once(first, "close");
  assert.equal(server.connections, 3);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /^cut off an NBD client that does not read/);
  for (const socket of [reader, ...others]) socket.destroy();
  await until(() => server.connections === 0);
  assert.equal(device.reads.usedBytes, 0);
});

test("at the limit of connections who haggles for longest makes room, and who transmits stays", async (context) => {
  const { path, server } = await serve(context, new FakeDevice({ size: MIB }), { maxConnections: 3 });
  const transmitting = await client(path);
  transmitting.write(conversation(1, 512));
  await until(() => transmitting.bytesRead > 512);
  const [older, younger, newest] = [await client(path), await client(path), await client(path)];
  older.resume();
  await once(older, "close");
  for (const socket of [younger, newest]) {
    socket.resume();
    socket.write(conversation(1, 512));
    await until(() => socket.bytesRead > 512);
  }
  assert.equal(server.connections, 3);
  for (const socket of [transmitting, younger, newest]) socket.destroy();
});

test("a line that is due again and again is said once in a while, with a count of the others", () => {
  const lines: string[] = [];
  const clock = new ManualClock();
  const line = new RareLine(clock, { info: () => {}, warn: (text) => lines.push(text), error: () => {} });
  for (let index = 0; index < 1000; index++) line.warn("a client");
  clock.advance(60_000);
  line.warn("a client");
  line.warn("a client");
  assert.deepEqual(lines, ["a client", "a client, and 999 others before it"]);
});

/** A client that reads nothing until it is resumed. */
async function client(path: string): Promise<Socket> {
  const socket = connect({ path });
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.pause();
  return socket;
}

/** Looks after each event. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!holds()) {
    assert(performance.now() < deadline, `waited ${WAIT_MS} ms in vain for ${holds}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
