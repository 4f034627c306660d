import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { decodeInfo } from "../wire/option-replies.ts";
import { encodeOption } from "../wire/options.ts";
import { COMMAND, FLAG, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { FakeDevice, feed } from "./testing.ts";
import {
  command,
  contextRequest,
  errorOf,
  greeted,
  infoRequest,
  optionReplies,
  parseReplies,
} from "./testing-client.ts";

const NONE = new Uint8Array(0);
const { ACK, ERR_INVALID, ERR_SHUTDOWN, ERR_TLS_REQD, INFO: INFORMATION } = OPTION_REPLY;

/** All kinds of options but STARTTLS, ABORT and EXPORT_NAME, unknown ones too. */
const OTHERS: readonly (readonly [number, Uint8Array])[] = [
  [OPTION.LIST, NONE],
  [OPTION.LIST, new Uint8Array(70_000)],
  [OPTION.INFO, infoRequest("disk")],
  [OPTION.GO, infoRequest("tape")],
  [OPTION.STRUCTURED_REPLY, NONE],
  [OPTION.EXTENDED_HEADERS, NONE],
  [OPTION.LIST_META_CONTEXT, contextRequest("disk")],
  [OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation")],
  [77, new Uint8Array(300_000)],
];

test("rule 11: where TLS is required, everything but STARTTLS and ABORT is answered TLS_REQD before it", () => {
  const { types, transport } = greeted({ tls: "required" });
  for (const [option, data] of OTHERS) assert.deepEqual(types(option, data), [ERR_TLS_REQD], `option ${option}`);
  assert.equal(transport.state, "open");
  assert.deepEqual(types(OPTION.STARTTLS), [ACK]);
  for (const [option, data] of OTHERS) assert(!types(option, data).includes(ERR_TLS_REQD), `option ${option}`);
});

test("rule 11: where TLS is required, ABORT before it is acknowledged and EXPORT_NAME closes", () => {
  const aborted = greeted({ tls: "required" });
  assert.deepEqual(aborted.types(OPTION.ABORT), [ACK]);
  assert.equal(aborted.transport.state, "ended");
  const named = greeted({ tls: "required" });
  named.types(OPTION.EXPORT_NAME, Buffer.from("disk"));
  assert.equal(named.transport.state, "destroyed");
});

test("rule 11: where TLS is offered, it may be left out", () => {
  const { types } = greeted({ tls: "on" });
  assert.deepEqual(types(OPTION.GO, infoRequest("disk")), [INFORMATION, INFORMATION, ACK]);
});

test("rule 11: a second STARTTLS is INVALID, and so is one with data, which starts nothing", () => {
  const { types, transport } = greeted({ tls: "on" });
  assert.deepEqual(types(OPTION.STARTTLS, new Uint8Array(1)), [ERR_INVALID]);
  assert.equal(transport.encrypted, false);
  assert.deepEqual(types(OPTION.STARTTLS), [ACK]);
  assert.equal(transport.encrypted, true);
  assert.deepEqual(types(OPTION.STARTTLS), [ERR_INVALID]);
});

test("rule 12: STARTTLS forgets all that was negotiated before it", () => {
  for (const option of [OPTION.STRUCTURED_REPLY, OPTION.EXTENDED_HEADERS]) {
    const device = new FakeDevice();
    const { session, transport, types, ask } = greeted({ tls: "on", device });
    types(option);
    types(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation"));
    types(OPTION.INFO, infoRequest("disk"));
    assert.deepEqual(types(OPTION.STARTTLS), [ACK]);
    assert.deepEqual(types(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation")), [ERR_INVALID]);
    device.geometry = { ...device.geometry, size: 2 * device.geometry.size };
    const info = decodeInfo(ask(OPTION.GO, infoRequest("disk"))[0]?.data ?? NONE);
    assert(info !== undefined && info !== "unknown" && info.kind === "export");
    assert.equal(info.size, device.geometry.size);
    assert.equal(info.flags & (FLAG.DF | FLAG.BLOCK_STATUS_PAYLOAD), 0);
    feed(session, transport, command(COMMAND.BLOCK_STATUS, 0, 512));
    assert.equal(errorOf({ replies: parseReplies(transport.take()) }), ERRNO.EINVAL);
  }
});

test("rule 12: contexts selected before STARTTLS stay forgotten when structured replies are agreed on again", () => {
  const { session, transport, types } = greeted({ tls: "on" });
  types(OPTION.STRUCTURED_REPLY);
  types(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation"));
  types(OPTION.STARTTLS);
  types(OPTION.STRUCTURED_REPLY);
  types(OPTION.GO, infoRequest("disk"));
  feed(session, transport, command(COMMAND.BLOCK_STATUS, 0, 512));
  assert.equal(errorOf({ replies: parseReplies(transport.take()) }), ERRNO.EINVAL);
});

test("rule 12: a byte of plain text behind STARTTLS ends the connection, which is never encrypted", () => {
  for (const length of [1, 16, 1000]) {
    const { session, transport } = greeted({ tls: "required" });
    const injected = Buffer.concat([
      encodeOption(OPTION.STARTTLS, NONE),
      encodeOption(OPTION.STRUCTURED_REPLY, new Uint8Array(1000)).subarray(0, length),
    ]);
    feed(session, transport, injected);
    assert.equal(transport.state, "destroyed");
    assert.equal(transport.encrypted, false);
  }
});

test("rule 12: what is still written into the buffer lent in plain text is not taken for decrypted bytes", () => {
  const { session, transport, types } = greeted({ tls: "on" });
  const lent = session.receiveBuffer();
  const option = encodeOption(OPTION.STARTTLS, NONE);
  lent.set(option);
  session.received(option.length);
  assert.equal(transport.encrypted, true);
  transport.take();
  assert.notEqual(session.receiveBuffer().buffer, lent.buffer);
  lent.fill(0xff);
  assert.deepEqual(types(OPTION.STRUCTURED_REPLY), [ACK]);
});

test("rule 13: after the ACK of STARTTLS no plain text is sent, and nobody greets again", () => {
  const { session, transport, types } = greeted({ tls: "required" });
  feed(session, transport, encodeOption(OPTION.STARTTLS, NONE));
  const [plain, secret] = [transport.takePlain(), transport.take()];
  assert.deepEqual(
    optionReplies(plain).map(({ type }) => type),
    [ACK],
  );
  assert.equal(secret.length, 0);
  types(OPTION.LIST);
  assert.equal(transport.takePlain().length, 0);
});

test("the options before STARTTLS count, and its handshake is a part of the session's", () => {
  const { types, transport } = greeted({ tls: "on" });
  for (let count = 0; count < 15; count++) types(OPTION.LIST);
  types(OPTION.STARTTLS);
  for (let count = 0; count < 16; count++) types(OPTION.LIST);
  assert.equal(transport.state, "open");
  types(OPTION.LIST);
  assert.equal(transport.state, "destroyed");

  const slow = greeted({ tls: "on" });
  slow.clock.advance(6_000);
  slow.types(OPTION.STARTTLS);
  slow.clock.advance(4_000);
  assert.equal(slow.transport.state, "destroyed");
  assert.equal(slow.clock.timers, 0);
});

test("a shutdown in the midst of TLS answers the next option SHUTDOWN, or drops who says nothing", () => {
  const talking = greeted({ tls: "required" });
  talking.types(OPTION.STARTTLS);
  talking.session.shutdown();
  assert.deepEqual(talking.types(OPTION.LIST), [ERR_SHUTDOWN]);
  assert.equal(talking.transport.state, "ended");
  const silent = greeted({ tls: "required" });
  silent.types(OPTION.STARTTLS);
  silent.session.shutdown();
  silent.clock.advance(200);
  assert.equal(silent.transport.state, "destroyed");
  assert.equal(silent.clock.timers, 0);
});
