import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../shadow/testing.ts";
import { encodeClientFlags } from "../wire/greeting.ts";
import { decodeInfo, decodeMetaContext, decodeOptionReplyHeader, decodeServer } from "../wire/option-replies.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from "../wire/options.ts";
import { FLAG, INFO, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { Session } from "./session.ts";
import { FakeDevice, FakeTransport, feed, oneExport } from "./testing.ts";

const NONE = new Uint8Array(0);

function start({ noZeroes = true, device = new FakeDevice() } = {}) {
  const transport = new FakeTransport();
  const clock = new ManualClock();
  const session = new Session({ transport, exports: oneExport(device), clock });
  assert.equal(transport.take().length, 18);
  feed(session, transport, encodeClientFlags({ fixedNewstyle: true, noZeroes }));
  const ask = (option: number, data: Uint8Array = NONE) => {
    feed(session, transport, encodeOption(option, data));
    return replies(transport.take());
  };
  const types = (option: number, data?: Uint8Array) => ask(option, data).map(({ type }) => type);
  return { session, transport, clock, ask, types, device };
}

/** The replies to options in `bytes`; what isn't one is left out. */
function replies(bytes: Buffer): { type: number; data: Uint8Array }[] {
  const found: { type: number; data: Uint8Array }[] = [];
  for (let at = 0; at + 20 <= bytes.length; ) {
    const header = decodeOptionReplyHeader(new DataView(bytes.buffer, bytes.byteOffset + at, 20));
    assert(header !== undefined);
    found.push({ type: header.type, data: bytes.subarray(at + 20, at + 20 + header.length) });
    at += 20 + header.length;
  }
  return found;
}

const go = (name: string, wanted: number[] = []) => encodeInfoRequest({ name, wanted });
const contexts = (name: string, ...queries: string[]) => encodeMetaContextRequest({ name, queries });
const {
  ACK,
  ERR_INVALID,
  ERR_UNKNOWN,
  ERR_UNSUP,
  ERR_SHUTDOWN,
  ERR_TOO_BIG,
  INFO: INFORMATION,
  META_CONTEXT,
} = OPTION_REPLY;

test("an unknown client flag drops the connection", () => {
  const transport = new FakeTransport();
  const session = new Session({ transport, exports: oneExport(new FakeDevice()), clock: new ManualClock() });
  feed(session, transport, new Uint8Array([0, 0, 0, 5]));
  assert.equal(transport.state, "destroyed");
});

test("an unknown option is answered UNSUP after its data, and the handshake goes on", () => {
  const { types } = start();
  assert.deepEqual(types(77, new Uint8Array(300_000)), [ERR_UNSUP]);
  assert.deepEqual(types(OPTION.STARTTLS), [ERR_UNSUP]);
  assert.deepEqual(types(OPTION.EXTENDED_HEADERS), [ERR_UNSUP]);
  assert.deepEqual(types(OPTION.STRUCTURED_REPLY), [ACK]);
});

test("EXPORT_NAME is answered without a header, with 124 zeroes unless they were waived", () => {
  for (const noZeroes of [true, false]) {
    const { session, transport } = start({ noZeroes });
    feed(session, transport, encodeOption(OPTION.EXPORT_NAME, Buffer.from("disk")));
    assert.equal(transport.take().length, noZeroes ? 10 : 134);
    assert.equal(transport.state, "open");
  }
});

test("EXPORT_NAME of an unknown export closes the connection", () => {
  const { types, transport } = start();
  types(OPTION.EXPORT_NAME, Buffer.from("tape"));
  assert.equal(transport.state, "destroyed");
});

test("LIST names every export and takes no data", () => {
  const { ask, types } = start();
  const [server, ack] = ask(OPTION.LIST);
  assert.deepEqual(decodeServer(server?.data ?? NONE), { name: "disk", description: "a disk" });
  assert.equal(ack?.type, ACK);
  assert.deepEqual(types(OPTION.LIST, new Uint8Array(1)), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.STRUCTURED_REPLY, new Uint8Array(1)), [ERR_INVALID]);
});

test("ABORT is acknowledged, whatever its data, and ends the connection", () => {
  const { types, transport } = start();
  assert.deepEqual(types(OPTION.ABORT, new Uint8Array(3)), [ACK]);
  assert.equal(transport.state, "ended");
});

test("INFO and a following GO agree, and only GO ends the handshake", () => {
  const { ask, transport, device } = start();
  const wanted = [INFO.NAME, INFO.DESCRIPTION, INFO.BLOCK_SIZE, 99];
  const told = ask(OPTION.INFO, go("disk", wanted));
  assert.deepEqual(ask(OPTION.GO, go("disk", wanted)), told);
  assert.deepEqual(
    told.map(({ type }) => type),
    [INFORMATION, INFORMATION, INFORMATION, INFORMATION, ACK],
  );
  const infos = told.slice(0, -1).map(({ data }) => decodeInfo(data));
  assert.deepEqual(infos[1], { kind: "name", text: "disk" });
  assert.deepEqual(infos[2], { kind: "description", text: "a disk" });
  assert.deepEqual(infos[3], { kind: "blockSize", minimum: 512, preferred: 4096, maximum: 32 << 20 });
  const flags =
    FLAG.HAS_FLAGS |
    FLAG.FLUSH |
    FLAG.FUA |
    FLAG.TRIM |
    FLAG.WRITE_ZEROES |
    FLAG.CAN_MULTI_CONN |
    FLAG.CACHE |
    FLAG.FAST_ZERO;
  assert.deepEqual(infos[0], { kind: "export", size: device.geometry.size, flags });
  assert.equal(transport.state, "open");
});

test("a read-only device advertises no writing, one without trim no TRIM", () => {
  const flagsOf = (device: FakeDevice) => {
    const info = decodeInfo(start({ device }).ask(OPTION.INFO, go("disk"))[0]?.data ?? NONE);
    assert(info !== undefined && info !== "unknown" && info.kind === "export");
    return info.flags;
  };
  const readOnly = flagsOf(new FakeDevice({ readOnly: true }));
  assert.equal(readOnly, FLAG.HAS_FLAGS | FLAG.READ_ONLY | FLAG.CAN_MULTI_CONN | FLAG.CACHE);
  assert.equal(flagsOf(new FakeDevice({ trim: false })) & FLAG.TRIM, 0);
});

test("the empty name is the only export's, and nobody's where there are several", () => {
  const { types } = start();
  assert.deepEqual(types(OPTION.INFO, go("")), [INFORMATION, INFORMATION, ACK]);
  const device = new FakeDevice();
  const both = ["a", "b"].map((name) => ({ name, description: "", device }));
  const exports = { list: () => both, find: (name: string) => both.find((one) => one.name === name) };
  const transport = new FakeTransport();
  const session = new Session({ transport, exports, clock: new ManualClock() });
  feed(session, transport, encodeClientFlags({ fixedNewstyle: true, noZeroes: true }));
  transport.take();
  feed(session, transport, encodeOption(OPTION.INFO, go("")));
  assert.equal(replies(transport.take())[0]?.type, ERR_UNKNOWN);
});

test("names of up to 4096 bytes are looked up, and an unknown one is not echoed", () => {
  const { ask } = start();
  for (const length of [257, 4096]) {
    const [reply] = ask(OPTION.GO, go("n".repeat(length)));
    assert.equal(reply?.type, ERR_UNKNOWN);
    assert((reply?.data.length ?? 0) < 100);
  }
});

test("a malformed length or string is answered INVALID and closes nothing", () => {
  const { types, transport } = start();
  assert.deepEqual(types(OPTION.GO), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.GO, Buffer.from("ffffffff0000", "hex")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.INFO, go("n".repeat(4097))), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.GO, go("a\0b")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.GO, Buffer.from("00000001ff0000", "hex")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, Buffer.from("0000", "hex")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.GO, new Uint8Array(70_000)), [ERR_TOO_BIG]);
  assert.equal(transport.state, "open");
});

test("an option that claims 4 GiB of data drops the connection at once", () => {
  const { session, transport } = start();
  const option = Buffer.from(encodeOption(OPTION.LIST, NONE));
  option.writeUInt32BE(0xffff_ffff, 12);
  feed(session, transport, option);
  assert.equal(transport.state, "destroyed");
});

test("a bad option magic drops the connection", () => {
  const { session, transport } = start();
  feed(session, transport, new Uint8Array(16));
  assert.equal(transport.state, "destroyed");
});

test("the 33rd option drops the connection", () => {
  const { types, transport } = start();
  for (let count = 0; count < 32; count++) types(OPTION.LIST);
  assert.equal(transport.state, "open");
  types(OPTION.LIST);
  assert.equal(transport.state, "destroyed");
});

test("a client of the old newstyle may say EXPORT_NAME alone", () => {
  const transport = new FakeTransport();
  const session = new Session({ transport, exports: oneExport(new FakeDevice()), clock: new ManualClock() });
  feed(session, transport, new Uint8Array(4));
  feed(session, transport, encodeOption(OPTION.LIST, NONE));
  assert.equal(transport.state, "destroyed");
});

test("SET_META_CONTEXT needs structured replies first, LIST_META_CONTEXT doesn't", () => {
  const { types } = start();
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contexts("disk", "base:allocation")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, contexts("disk")), [META_CONTEXT, ACK]);
});

test("base: lists and selects nothing, and what is unknown is ignored", () => {
  const { ask, types } = start();
  types(OPTION.STRUCTURED_REPLY);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, contexts("disk", "base:")), [META_CONTEXT, ACK]);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, contexts("disk", "other:")), [ACK]);
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contexts("disk", "base:")), [ACK]);
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contexts("disk")), [ACK]);
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contexts("disk", "base:x", "a:b")), [ACK]);
  assert.deepEqual(types(OPTION.SET_META_CONTEXT, contexts("tape", "base:allocation")), [ERR_UNKNOWN]);
  const [context] = ask(OPTION.SET_META_CONTEXT, contexts("disk", "base:allocation", "base:x"));
  assert.deepEqual(decodeMetaContext(context?.data ?? NONE), { id: 1, name: "base:allocation" });
});

test("a handshake that takes longer than 10 s is dropped, a finished one is not", () => {
  const slow = start();
  slow.clock.advance(9_999);
  assert.equal(slow.transport.state, "open");
  slow.clock.advance(1);
  assert.equal(slow.transport.state, "destroyed");
  const quick = start();
  quick.types(OPTION.GO, go("disk"));
  quick.clock.advance(60_000);
  assert.equal(quick.transport.state, "open");
  assert.equal(quick.clock.timers, 0);
});

test("a shutdown answers the next option SHUTDOWN, but ABORT with ACK, and ends", () => {
  for (const [option, type] of [
    [OPTION.LIST, ERR_SHUTDOWN],
    [OPTION.GO, ERR_SHUTDOWN],
    [OPTION.ABORT, ACK],
  ] as const) {
    const { session, types, transport } = start();
    session.shutdown();
    assert.deepEqual(types(option), [type]);
    assert.equal(transport.state, "ended");
  }
});

test("a shutdown drops a handshake that says nothing", () => {
  const { session, clock, transport } = start();
  session.shutdown();
  clock.advance(200);
  assert.equal(transport.state, "destroyed");
  assert.equal(clock.timers, 0);
});

test("a connection that closes in the handshake leaves no timer", () => {
  const { session, clock } = start();
  session.closed();
  assert.equal(clock.timers, 0);
});
