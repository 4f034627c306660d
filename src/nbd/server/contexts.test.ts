import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { ManualClock } from "../../shadow/testing.ts";
import { encodeClientFlags } from "../wire/greeting.ts";
import { decodeMetaContext } from "../wire/option-replies.ts";
import { encodeOption } from "../wire/options.ts";
import { CHUNK, COMMAND, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { Session } from "./session.ts";
import { FakeDevice, FakeTransport, feed } from "./testing.ts";
import { command, contextRequest, errorOf, extended, greeted, infoRequest, parseReplies } from "./testing-client.ts";

const NONE = new Uint8Array(0);
const { ACK, ERR_INVALID, ERR_UNKNOWN, META_CONTEXT } = OPTION_REPLY;

test("rule 7: SET_META_CONTEXT needs structured replies or extended headers first, LIST_META_CONTEXT neither", () => {
  const { types } = greeted();
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, contextRequest("disk")), [META_CONTEXT, ACK]);
  for (const option of [OPTION.STRUCTURED_REPLY, OPTION.EXTENDED_HEADERS]) {
    const next = greeted();
    next.types(option);
    const selected = next.types(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation"));
    assert.deepEqual(selected, [META_CONTEXT, ACK]);
  }
});

test("rule 7: base: lists and selects nothing, and what is unknown is ignored", () => {
  const { ask, types } = greeted();
  types(OPTION.STRUCTURED_REPLY);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, contextRequest("disk", "base:")), [META_CONTEXT, ACK]);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, contextRequest("disk", "other:")), [ACK]);
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:")), [ACK]);
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contextRequest("disk")), [ACK]);
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:x", "a:b")), [ACK]);
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contextRequest("tape", "base:allocation")), [ERR_UNKNOWN]);
  const [context] = ask(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation", "base:x"));
  assert.deepEqual(decodeMetaContext(context?.data ?? NONE), { id: 1, name: "base:allocation" });
});

test("rule 7: contexts count for the export finally chosen, and a failed attempt to set them forgets them", () => {
  const devices = ["disk", "tape"].map((name) => ({ name, description: "", device: new FakeDevice() }));
  const exports = { list: () => devices, find: (name: string) => devices.find((one) => one.name === name) };
  const select = (name: string, ...queries: string[]) =>
    encodeOption(OPTION.SET_META_CONTEXT, contextRequest(name, ...queries));
  const cases: [string, Buffer, number][] = [
    ["selected", Buffer.concat([select("disk", "base:allocation")]), 0],
    ["selected for another export", Buffer.concat([select("tape", "base:allocation")]), ERRNO.EINVAL],
    ["replaced by none", Buffer.concat([select("disk", "base:allocation"), select("disk")]), ERRNO.EINVAL],
    ["an unknown export then", Buffer.concat([select("disk", "base:allocation"), select("none")]), ERRNO.EINVAL],
    [
      "a malformed attempt then",
      Buffer.concat([select("disk", "base:allocation"), encodeOption(OPTION.SET_META_CONTEXT, new Uint8Array(3))]),
      ERRNO.EINVAL,
    ],
  ];
  for (const [name, selection, errno] of cases) {
    const transport = new FakeTransport();
    const session = new Session({ transport, exports, clock: new ManualClock() });
    feed(session, transport, encodeClientFlags({ fixedNewstyle: true, noZeroes: true }));
    feed(session, transport, encodeOption(OPTION.STRUCTURED_REPLY, NONE));
    feed(session, transport, selection);
    feed(session, transport, encodeOption(OPTION.GO, infoRequest("disk")));
    transport.take();
    feed(session, transport, command(COMMAND.BLOCK_STATUS, 0, 512));
    assert.equal(errorOf({ replies: parseReplies(transport.take()) }), errno, name);
  }
});

test("rule 7: contexts that were selected stay when extended headers are agreed on afterwards", () => {
  const { session, transport, types } = greeted();
  types(OPTION.STRUCTURED_REPLY);
  types(OPTION.SET_META_CONTEXT, contextRequest("disk", "base:allocation"));
  types(OPTION.EXTENDED_HEADERS);
  types(OPTION.GO, infoRequest("disk"));
  feed(session, transport, extended(COMMAND.BLOCK_STATUS, 0, 512));
  assert.equal(parseReplies(transport.take())[0]?.type, CHUNK.BLOCK_STATUS_EXT);
});

test("rule 8: LIST_META_CONTEXT without queries lists all, with the id 0, and of an unknown export nothing", () => {
  const { ask, types } = greeted();
  const [context, ack] = ask(OPTION.LIST_META_CONTEXT, contextRequest("disk"));
  assert.deepEqual(decodeMetaContext(context?.data ?? NONE), { id: 0, name: "base:allocation" });
  assert.equal(ack?.type, ACK);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, contextRequest("tape")), [ERR_UNKNOWN]);
});
