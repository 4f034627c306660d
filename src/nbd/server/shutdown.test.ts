import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { COMMAND } from "../wire/protocol.ts";
import { FakeDevice } from "./testing.ts";
import { chosen, command, errorOf, parseReplies, read, write } from "./testing-client.ts";

const MIB = 1 << 20;

test("rule 9: a shutdown answers new commands ESHUTDOWN, finishes those in flight, and ends", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, session, transport } = chosen({ device });
  say(write(0, new Uint8Array(512)));
  session.shutdown();
  assert.equal(errorOf(say(read(0, 512))), ERRNO.ESHUTDOWN);
  assert.equal(errorOf(say(write(0, new Uint8Array(512)))), ERRNO.ESHUTDOWN);
  assert.equal(errorOf(say(command(COMMAND.RESIZE, 1 << 20, 0))), ERRNO.ESHUTDOWN);
  assert.equal(transport.state, "open");
  device.answerAll();
  assert.equal(transport.state, "ended");
  assert.equal(parseReplies(transport.take()).length, 1);
});

test("rule 9: a shutdown refuses what waits for room", () => {
  const device = new FakeDevice();
  device.held = true;
  device.depth = 1;
  const { say, session, transport } = chosen({ device });
  say(Buffer.concat([read(0, 512), read(512, 512)]));
  session.shutdown();
  assert.equal(errorOf({ replies: parseReplies(transport.take()) }), ERRNO.ESHUTDOWN);
  device.answerAll();
  assert.equal(transport.state, "ended");
});

test("rule 9: a write whose data is on its way at the shutdown is refused when it is there", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, session, transport } = chosen({ device });
  say(read(0, 512));
  const bytes = write(0, new Uint8Array(4096).fill(1));
  say(bytes.subarray(0, 100));
  session.shutdown();
  assert.equal(errorOf(say(bytes.subarray(100))), ERRNO.ESHUTDOWN);
  assert.equal(device.writes.usedBytes, 0);
  device.answerAll();
  assert.equal(transport.state, "ended");
  assert.deepEqual(device.log, ["read 0+512"]);
});

test("a write whose data never comes is not waited for", () => {
  const { say, session, transport, device } = chosen();
  say(write(0, new Uint8Array(4096)).subarray(0, 100));
  session.shutdown();
  assert.equal(transport.state, "ended");
  session.closed();
  assert.equal(device.admitted + device.writes.usedBytes, 0);
});

test("memory that is lent to the transport at the shutdown stays the write's until the connection is gone", () => {
  const device = new FakeDevice({ size: 4 * MIB });
  const { say, session, transport } = chosen({ device });
  const bytes = write(0, new Uint8Array(MIB));
  say(bytes.subarray(0, 28));
  const lent = session.receiveBuffer();
  assert.equal(lent.length, MIB);
  session.shutdown();
  assert.equal(transport.state, "ended");
  assert.equal(device.writes.usedBytes, MIB);
  session.received(lent.length);
  assert.equal(device.writes.usedBytes, MIB);
  session.closed();
  assert.equal(device.writes.usedBytes, 0);
  assert.deepEqual(device.log, []);
});

test("what a client still sends once the connection is being ended never fills the room to receive into", () => {
  const { session } = chosen();
  session.shutdown();
  for (let sent = 0; sent < MIB; ) {
    const into = session.receiveBuffer();
    assert(into.length > 0);
    session.received(into.length);
    sent += into.length;
  }
});
