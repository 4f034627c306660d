import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeDevice, feed } from "./testing.ts";
import { chosen, parseReplies, read, write } from "./testing-client.ts";
import { OUTPUT_HIGH_WATER_BYTES } from "./transport.ts";

const MIB = 1 << 20;

test("a large write is received straight into the request's memory", () => {
  const device = new FakeDevice({ size: 4 * MIB });
  const { session, transport, say } = chosen({ device });
  const data = new Uint8Array(2 * MIB + 512).map((_, index) => index % 251);
  const bytes = write(0, data);
  feed(session, transport, bytes.subarray(0, 28));
  assert.equal(session.receiveBuffer().length, MIB);
  say(bytes.subarray(28));
  assert.deepEqual(device.content.subarray(0, data.length), data);
  assert.equal(device.writes.usedBytes, 0);
});

test("rule 22: without room nothing more is parsed or received, and it goes on in order when there is", () => {
  const device = new FakeDevice();
  device.held = true;
  device.depth = 1;
  const { say, transport } = chosen({ device });
  const batch = Buffer.concat([write(0, new Uint8Array(512)), write(512, new Uint8Array(512)), read(0, 512)]);
  say(batch);
  assert.deepEqual(device.log, ["write 0+512"]);
  assert.equal(transport.paused, true);
  device.answerAll();
  device.depth = 3;
  device.makeRoom();
  assert.deepEqual(device.log, ["write 0+512", "write 512+512", "read 0+512"]);
  assert.equal(transport.paused, false);
  device.answerAll();
  assert.equal(parseReplies(transport.take()).length, 3);
});

test("rule 22: at the limit of requests in flight the client waits, and goes on at half of it", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, transport, clock } = chosen({ device, limits: { inFlightRequests: 4 } });
  say(Buffer.concat(Array.from({ length: 10 }, () => read(0, 512))));
  assert.equal(device.pending.length, 4);
  assert.equal(transport.paused, true);
  const answerOne = () => {
    const request = device.pending.shift();
    if (request !== undefined) device.answer(request);
    clock.advance(0);
  };
  answerOne();
  assert.equal(device.pending.length, 3);
  answerOne();
  assert.equal(device.pending.length, 4);
  device.answerAll();
  clock.advance(0);
  device.answerAll();
  clock.advance(0);
  assert.equal(parseReplies(transport.take()).length, 10);
  assert.equal(transport.paused, false);
});

test("rule 22: a client that does not read its replies is not read either, until they have gone", () => {
  const device = new FakeDevice();
  device.content.fill(1);
  const { say, transport, session } = chosen({ device });
  transport.stuck = true;
  let sent = 0;
  while (!transport.paused) sent += say(read(0, MIB)).taken / 28;
  assert.equal(sent, 5);
  assert(transport.queuedBytes < OUTPUT_HIGH_WATER_BYTES + 2 * MIB);
  transport.stuck = false;
  transport.flush();
  session.drained();
  assert.equal(parseReplies(transport.take()).length, sent);
  assert.equal(transport.paused, false);
  assert.equal(device.reads.usedBytes, 0);
});

test("rule 22: replies come as the device answers, with the cookies of their requests", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, transport } = chosen({ device });
  const requests = [read(0, 512), write(512, new Uint8Array(512)), read(1024, 512)];
  for (const [index, request] of requests.entries())
    request.writeBigUInt64BE(0xffff_ffff_0000_0000n + BigInt(index), 8);
  say(Buffer.concat(requests));
  for (const request of device.pending.splice(0).reverse()) device.answer(request);
  assert.deepEqual(
    parseReplies(transport.take()).map(({ cookie }) => cookie),
    [2, 1, 0],
  );
});

test("a client that hung up while it was paused loses what was not parsed, and nothing else", () => {
  const device = new FakeDevice();
  device.held = true;
  device.depth = 1;
  const { say, transport, session } = chosen({ device });
  say(
    Buffer.concat([write(0, new Uint8Array(512)), write(512, new Uint8Array(512)), write(1024, new Uint8Array(512))]),
  );
  transport.peerGone = true;
  device.depth = 3;
  device.makeRoom();
  assert.equal(transport.state, "destroyed");
  session.closed();
  device.answerAll();
  assert.deepEqual(device.log, ["write 0+512"]);
  assert.equal(device.admitted, 0);
  assert.equal(transport.take().length, 0);
});

test("a client that sends no more of a write's data is known by the time since it last did", () => {
  const { session, transport, device, clock } = chosen();
  const bytes = write(0, new Uint8Array(4096));
  clock.advance(1000);
  assert.equal(session.keepsIdle(device, 100), false);
  feed(session, transport, bytes.subarray(0, 1000));
  clock.advance(60);
  feed(session, transport, bytes.subarray(1000, 2000));
  clock.advance(60);
  assert.equal(session.keepsIdle(device, 100), false);
  clock.advance(40);
  assert.equal(session.keepsIdle(device, 100), true);
  assert.equal(session.keepsIdle(new FakeDevice(), 100), false);
  feed(session, transport, bytes.subarray(2000));
  clock.advance(1000);
  assert.equal(session.keepsIdle(device, 100), false);
});

test("a connection that dies in the middle of a write gives its memory back", () => {
  const { session, transport, device } = chosen();
  feed(session, transport, write(0, new Uint8Array(4096)).subarray(0, 1000));
  assert.equal(device.admitted, 1);
  session.closed();
  session.closed();
  assert.equal(device.admitted, 0);
  assert.equal(device.writes.usedBytes, 0);
  assert.deepEqual(device.log, []);
});

test("a connection that dies while it waits for room stops asking", () => {
  const device = new FakeDevice();
  device.depth = 0;
  const { say, session } = chosen({ device });
  say(read(0, 512));
  session.closed();
  device.depth = 1;
  device.makeRoom();
  assert.deepEqual(device.log, []);
});

test("replies to a dead connection are dropped and their memory is released", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, session, transport } = chosen({ device });
  say(Buffer.concat([read(0, 4096), read(4096, 4096), write(0, new Uint8Array(512))]));
  session.closed();
  device.answerAll();
  assert.equal(device.reads.usedBytes, 0);
  assert.equal(transport.take().length, 0);
});
