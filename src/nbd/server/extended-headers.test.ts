import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { decodeInfo } from "../wire/option-replies.ts";
import { CHUNK, COMMAND, COMMAND_FLAG, FLAG, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { encodeStatusQuery } from "../wire/requests.ts";
import { FakeDevice, feed } from "./testing.ts";
import {
  chosen,
  contextRequest,
  errorOf,
  extended,
  greeted,
  infoRequest,
  parseReplies,
  read,
  withPayload,
} from "./testing-client.ts";

const { DF, REQ_ONE, PAYLOAD_LEN } = COMMAND_FLAG;
const KIB = 1024;
const MIB = 1 << 20;
const NONE = new Uint8Array(0);
const { ACK, ERR_EXT_HEADER_REQD, ERR_INVALID } = OPTION_REPLY;

const EXT = { replies: "extended" } as const;
const GIB = 1 << 30;

/** A device that is larger than its content: nothing of it may be read or written. */
function hugeDevice(size: number): FakeDevice {
  const device = new FakeDevice();
  device.held = true;
  device.geometry = { ...device.geometry, size };
  return device;
}

test("rule 26: EXTENDED_HEADERS has no data, may be said twice, and closes the way to EXPORT_NAME", () => {
  const { types, transport } = greeted();
  assert.deepEqual(types(OPTION.EXTENDED_HEADERS, new Uint8Array(1)), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.EXTENDED_HEADERS), [ACK]);
  assert.deepEqual(types(OPTION.EXTENDED_HEADERS), [ACK]);
  types(OPTION.EXPORT_NAME, Buffer.from("disk"));
  assert.equal(transport.state, "destroyed");
});

test("rule 26: an EXTENDED_HEADERS that was refused changes nothing", () => {
  const { session, transport, types } = greeted();
  types(OPTION.EXTENDED_HEADERS, new Uint8Array(1));
  types(OPTION.GO, infoRequest("disk"));
  feed(session, transport, read(0, 512));
  assert.equal(parseReplies(transport.take(), 512)[0]?.type, -1);
});

test("rule 26: a STRUCTURED_REPLY after EXTENDED_HEADERS is EXT_HEADER_REQD, and before it is overruled", () => {
  const { types, session, transport } = greeted();
  assert.deepEqual(types(OPTION.STRUCTURED_REPLY), [ACK]);
  assert.deepEqual(types(OPTION.EXTENDED_HEADERS), [ACK]);
  assert.deepEqual(types(OPTION.STRUCTURED_REPLY, new Uint8Array(1)), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.STRUCTURED_REPLY), [ERR_EXT_HEADER_REQD]);
  types(OPTION.GO, infoRequest("disk"));
  feed(session, transport, extended(COMMAND.FLUSH, 0, 0));
  assert.equal(parseReplies(transport.take())[0]?.offset, 0n);
});

test("rule 26: every reply is an extended chunk that echoes cookie and offset, for a plain success an empty one", () => {
  const { say } = chosen(EXT);
  const data = new Uint8Array(512).fill(3);
  const cases: [Buffer, number, number][] = [
    [withPayload(COMMAND.WRITE, 1024, data), CHUNK.NONE, 0],
    [extended(COMMAND.READ, 1024, 512), CHUNK.OFFSET_DATA, 0],
    [extended(COMMAND.READ, 4096, 65536), CHUNK.OFFSET_HOLE, 0],
    [extended(COMMAND.READ, 4096, 65536, DF), CHUNK.OFFSET_DATA, 0],
    [extended(COMMAND.READ, 4096, 0), CHUNK.NONE, 0],
    [extended(COMMAND.FLUSH, 0, 0), CHUNK.NONE, 0],
    [extended(COMMAND.TRIM, 512, 512), CHUNK.NONE, 0],
    [extended(COMMAND.CACHE, 512, 512), CHUNK.NONE, 0],
    [extended(COMMAND.WRITE_ZEROES, 512, 512), CHUNK.NONE, 0],
    [extended(COMMAND.RESIZE, 1 << 20, 0), CHUNK.NONE, 0],
    [extended(COMMAND.BLOCK_STATUS, 512, 512), CHUNK.BLOCK_STATUS_EXT, 0],
    [extended(COMMAND.BLOCK_STATUS, 512, 0), CHUNK.ERROR, ERRNO.EINVAL],
    [extended(COMMAND.TRIM, 513, 512), CHUNK.ERROR, ERRNO.EINVAL],
    [extended(77, 5, 512), CHUNK.ERROR, ERRNO.EINVAL],
  ];
  for (const [request, type, error] of cases) {
    const [reply, ...others] = say(request).replies;
    const [name, offset] = [`command ${request.readUInt16BE(6)}`, request.readBigUInt64BE(16)];
    assert.equal(others.length, 0, name);
    assert.deepEqual([reply?.type, reply?.done, reply?.error, reply?.offset], [type, true, error, offset], name);
    assert.equal(reply?.cookie, request.readUInt32BE(12), name);
  }
  assert.deepEqual(say(extended(COMMAND.READ, 1024, 512)).replies[0]?.body.subarray(8), Buffer.from(data));
});

test("rule 26: an offset past 2^53 is echoed to the bit", () => {
  const { say } = chosen(EXT);
  const request = extended(COMMAND.READ, 0, 512);
  request.writeBigUInt64BE(0xffff_ffff_ffff_fe01n, 16);
  const [reply] = say(request).replies;
  assert.deepEqual([reply?.error, reply?.offset], [ERRNO.EINVAL, 0xffff_ffff_ffff_fe01n]);
});

test("rule 26: every chunk of a read in several echoes the offset of the request", () => {
  const device = new FakeDevice();
  device.content.fill(1, 128 * KIB, 192 * KIB);
  const { say } = chosen({ ...EXT, device });
  const { replies } = say(extended(COMMAND.READ, 64 * KIB, 256 * KIB));
  assert.deepEqual(
    replies.map(({ type, offset, done }) => [type, offset, done]),
    [
      [CHUNK.OFFSET_HOLE, 65536n, false],
      [CHUNK.OFFSET_DATA, 65536n, false],
      [CHUNK.OFFSET_HOLE, 65536n, true],
    ],
  );
});

test("rule 26: a WRITE without PAYLOAD_LEN has no payload, and is EINVAL", () => {
  const { say, device } = chosen(EXT);
  const both = Buffer.concat([extended(COMMAND.WRITE, 0, 512), extended(COMMAND.FLUSH, 0, 0)]);
  const errors = say(both).replies.map(({ error }) => error);
  assert.deepEqual(errors, [ERRNO.EINVAL, 0]);
  assert.deepEqual(device.log, ["flush 0+0"]);
});

test("rule 26: another command with PAYLOAD_LEN is EINVAL after its payload", () => {
  const { say, device } = chosen(EXT);
  for (const type of [COMMAND.READ, COMMAND.FLUSH, COMMAND.TRIM, COMMAND.CACHE, COMMAND.WRITE_ZEROES, 77]) {
    const [reply] = say(withPayload(type, 0, new Uint8Array(512))).replies;
    assert.equal(reply?.error, ERRNO.EINVAL, `command ${type}`);
  }
  assert.equal(errorOf(say(extended(COMMAND.READ, 0, 512, PAYLOAD_LEN | DF, new Uint8Array(512)))), ERRNO.EINVAL);
  assert.equal(errorOf(say(extended(COMMAND.FLUSH, 0, 0, PAYLOAD_LEN))), ERRNO.EINVAL);
  assert.deepEqual(device.log, []);
});

test("rule 26: a refused WRITE has its payload read, and a payload longer than the largest ends the connection", () => {
  const { say, session, transport } = chosen({ ...EXT, device: new FakeDevice({ readOnly: true }) });
  assert.equal(errorOf(say(withPayload(COMMAND.WRITE, 0, new Uint8Array(32 * MIB)))), ERRNO.EPERM);
  assert.equal(errorOf(say(extended(COMMAND.READ, 0, 512))), 0);
  feed(session, transport, extended(COMMAND.WRITE, 0, 32 * MIB + 1, PAYLOAD_LEN));
  assert.equal(transport.state, "destroyed");
  for (const length of ["0000000100000000", "ffffffffffffffff"]) {
    const { session, transport } = chosen(EXT);
    const request = extended(COMMAND.READ, 0, 0, PAYLOAD_LEN);
    request.write(length, 24, "hex");
    feed(session, transport, request);
    assert.equal(transport.state, "destroyed", length);
  }
});

test("rule 26: a compact request after EXTENDED_HEADERS ends the connection, and the other way round", () => {
  const after = chosen(EXT);
  feed(after.session, after.transport, Buffer.concat([read(0, 512), new Uint8Array(4)]));
  assert.equal(after.transport.state, "destroyed");
  const without = chosen();
  feed(without.session, without.transport, extended(COMMAND.READ, 0, 512));
  assert.equal(without.transport.state, "destroyed");
});

test("rule 26: what has no payload may be longer than 32 bits", () => {
  const device = hugeDevice(1024 * GIB);
  const { say } = chosen({ ...EXT, device });
  for (const type of [COMMAND.TRIM, COMMAND.WRITE_ZEROES, COMMAND.CACHE, COMMAND.BLOCK_STATUS])
    assert.deepEqual(say(extended(type, 512, 1000 * GIB)).replies, []);
  const length = 1000 * GIB;
  assert.deepEqual(
    device.log,
    ["trim", "zero", "cache", "extents"].map((kind) => `${kind} 512+${length}`),
  );
});

test("rule 26: lengths past the end, past 2^53 and up to 2^64 are refused", () => {
  const { say } = chosen({ ...EXT, device: hugeDevice(1024 * GIB) });
  for (const length of ["0000010000000200", "0020000000000001", "fffffffffffffe00", "ffffffffffffffff"]) {
    for (const [type, errno] of [
      [COMMAND.READ, ERRNO.EINVAL],
      [COMMAND.TRIM, ERRNO.EINVAL],
      [COMMAND.WRITE_ZEROES, ERRNO.ENOSPC],
      [COMMAND.CACHE, ERRNO.EINVAL],
      [COMMAND.BLOCK_STATUS, ERRNO.EINVAL],
    ] as const) {
      const request = extended(type, 0, 0);
      request.write(length, 24, "hex");
      assert.equal(errorOf(say(request)), errno, `command ${type} of ${length}`);
    }
  }
});

test("rule 26: a block status answers in the 64-bit form, however short it is", () => {
  const device = hugeDevice(1024 * GIB);
  device.held = false;
  device.extents = [
    { length: 8 * GIB, hole: true, zero: true },
    { length: 512, hole: false, zero: false },
  ];
  const { say } = chosen({ ...EXT, device });
  const [both] = say(extended(COMMAND.BLOCK_STATUS, 0, 16 * GIB)).replies;
  const long = "0000000200000000" + "0000000000000003";
  const short = "0000000000000200" + "0000000000000000";
  assert.equal(both?.body.toString("hex"), `${"00000001" + "00000002"}${long}${short}`);
  const [one] = say(extended(COMMAND.BLOCK_STATUS, 0, 16 * GIB, REQ_ONE)).replies;
  assert.equal(one?.body.toString("hex"), `${"00000001" + "00000001"}${long}`);
});

/** What BLOCK_STATUS_PAYLOAD asks with. */
const query = (length: number, ...contexts: number[]) =>
  withPayload(COMMAND.BLOCK_STATUS, 0, encodeStatusQuery({ length, contexts }));

test("BLOCK_STATUS_PAYLOAD is advertised with extended headers and a selected context alone", () => {
  const flagsOf = (...options: number[]) => {
    const { ask, types } = greeted();
    for (const option of options)
      types(option, option === OPTION.SET_META_CONTEXT ? contextRequest("disk", "base:allocation") : NONE);
    const info = decodeInfo(ask(OPTION.GO, infoRequest("disk"))[0]?.data ?? NONE);
    assert(info !== undefined && info !== "unknown" && info.kind === "export");
    return info.flags;
  };
  const { EXTENDED_HEADERS, SET_META_CONTEXT, STRUCTURED_REPLY } = OPTION;
  const { BLOCK_STATUS_PAYLOAD, DF: SEND_DF } = FLAG;
  assert.equal(flagsOf(EXTENDED_HEADERS, SET_META_CONTEXT) & BLOCK_STATUS_PAYLOAD, BLOCK_STATUS_PAYLOAD);
  assert.equal(flagsOf(EXTENDED_HEADERS) & (BLOCK_STATUS_PAYLOAD | SEND_DF), SEND_DF);
  assert.equal(flagsOf(STRUCTURED_REPLY, SET_META_CONTEXT) & BLOCK_STATUS_PAYLOAD, 0);
});

test("a block status may ask by a payload for the contexts that it wants", () => {
  const { say, device } = chosen(EXT);
  const [reply] = say(query(4096, 1)).replies;
  assert.equal(reply?.type, CHUNK.BLOCK_STATUS_EXT);
  assert.equal(reply?.body.readUInt32BE(0), 1);
  assert.deepEqual(device.log, ["extents 0+4096"]);
});

test("a payload that asks for nothing, for what isn't there, twice, or without sense, is read and EINVAL", () => {
  const { say, device, transport } = chosen(EXT);
  const { size } = device.geometry;
  const malformed = [3, 8, 11, 13, 4096].map((length) => withPayload(COMMAND.BLOCK_STATUS, 0, new Uint8Array(length)));
  const bad = [query(4096), query(4096, 2), query(4096, 1, 1), query(4096, 1, 2), query(0, 1), query(size + 512, 1)];
  const requests = [...malformed, ...bad, query(2 ** 53, 1), query(100, 1)];
  for (const request of requests) assert.equal(errorOf(say(request)), ERRNO.EINVAL, request.toString("hex", 24));
  assert.equal(transport.state, "open");
  assert.deepEqual(device.log, []);
});

test("a payload without a selected context is read and EINVAL", () => {
  const { session, transport, types } = greeted();
  types(OPTION.EXTENDED_HEADERS);
  types(OPTION.GO, infoRequest("disk"));
  feed(session, transport, Buffer.concat([query(4096, 1), extended(COMMAND.FLUSH, 0, 0)]));
  assert.deepEqual(
    parseReplies(transport.take()).map(({ error }) => error),
    [ERRNO.EINVAL, 0],
  );
});
