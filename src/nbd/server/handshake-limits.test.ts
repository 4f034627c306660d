import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeOption } from "../wire/options.ts";
import { OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { feed } from "./testing.ts";
import { greeted, infoRequest } from "./testing-client.ts";

const NONE = new Uint8Array(0);
const { ACK, ERR_SHUTDOWN } = OPTION_REPLY;

test("rule 9: a shutdown answers the next option SHUTDOWN, but ABORT with ACK, and ends", () => {
  for (const [option, type] of [
    [OPTION.LIST, ERR_SHUTDOWN],
    [OPTION.GO, ERR_SHUTDOWN],
    [OPTION.ABORT, ACK],
  ] as const) {
    const { session, types, transport } = greeted();
    session.shutdown();
    assert.deepEqual(types(option), [type]);
    assert.equal(transport.state, "ended");
  }
});

test("rule 9: a shutdown drops a handshake that says nothing", () => {
  const { session, clock, transport } = greeted();
  session.shutdown();
  clock.advance(200);
  assert.equal(transport.state, "destroyed");
  assert.equal(clock.timers, 0);
});

test("rule 9: during a shutdown EXPORT_NAME, which can't carry an error, closes", () => {
  const { session, types, transport } = greeted();
  session.shutdown();
  types(OPTION.EXPORT_NAME, Buffer.from("disk"));
  assert.equal(transport.state, "destroyed");
});

test("rule 10: a handshake that takes longer than 10 s is dropped, a finished one is not", () => {
  const slow = greeted();
  slow.clock.advance(9_999);
  assert.equal(slow.transport.state, "open");
  slow.clock.advance(1);
  assert.equal(slow.transport.state, "destroyed");
  const quick = greeted();
  quick.types(OPTION.GO, infoRequest("disk"));
  quick.clock.advance(60_000);
  assert.equal(quick.transport.state, "open");
  assert.equal(quick.clock.timers, 0);
});

test("rule 10: the 33rd option drops the connection", () => {
  const { types, transport } = greeted();
  for (let count = 0; count < 32; count++) types(OPTION.LIST);
  assert.equal(transport.state, "open");
  types(OPTION.LIST);
  assert.equal(transport.state, "destroyed");
});

test("rule 10: an option that claims 4 GiB of data drops the connection at once", () => {
  const { session, transport } = greeted();
  const option = Buffer.from(encodeOption(OPTION.LIST, NONE));
  option.writeUInt32BE(0xffff_ffff, 12);
  feed(session, transport, option);
  assert.equal(transport.state, "destroyed");
});

test("a connection that closes in the handshake leaves no timer", () => {
  const { session, clock } = greeted();
  session.closed();
  assert.equal(clock.timers, 0);
});
