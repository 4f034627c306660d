import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../shadow/testing.ts";
import { encodeClientFlags } from "../wire/greeting.ts";
import { decodeInfo, decodeServer } from "../wire/option-replies.ts";
import { encodeOption } from "../wire/options.ts";
import { FLAG, INFO, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { Session } from "./session.ts";
import { FakeDevice, FakeTransport, feed, oneExport } from "./testing.ts";
import { greeted, infoRequest, optionReplies } from "./testing-client.ts";

const NONE = new Uint8Array(0);
const { ACK, ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN, ERR_UNSUP, INFO: INFORMATION } = OPTION_REPLY;

test("rule 1: an unknown client flag drops the connection", () => {
  const transport = new FakeTransport();
  const session = new Session({ transport, exports: oneExport(new FakeDevice()), clock: new ManualClock() });
  feed(session, transport, new Uint8Array([0, 0, 0, 5]));
  assert.equal(transport.state, "destroyed");
});

test("rule 2: an unknown option is answered UNSUP after its data, and the handshake goes on", () => {
  const { types } = greeted();
  assert.deepEqual(types(77, new Uint8Array(300_000)), [ERR_UNSUP]);
  assert.deepEqual(types(0), [ERR_UNSUP]);
  assert.deepEqual(types(OPTION.STARTTLS), [ERR_UNSUP]);
  assert.deepEqual(types(OPTION.STRUCTURED_REPLY), [ACK]);
});

test("rule 3: EXPORT_NAME is answered without a header, with 124 zeroes unless they were waived", () => {
  for (const noZeroes of [true, false]) {
    const { session, transport } = greeted({ noZeroes });
    feed(session, transport, encodeOption(OPTION.EXPORT_NAME, Buffer.from("disk")));
    const reply = transport.take();
    assert.equal(reply.length, noZeroes ? 10 : 134);
    assert(reply.subarray(10).every((byte) => byte === 0));
    assert.equal(transport.state, "open");
  }
});

test("rule 3: no zeroes follow GO, waived or not", () => {
  const { session, transport } = greeted({ noZeroes: false });
  feed(session, transport, encodeOption(OPTION.GO, infoRequest("disk")));
  const reply = transport.take();
  assert.equal(reply.readUInt32BE(reply.length - 8), ACK);
  assert.equal(reply.readUInt32BE(reply.length - 4), 0);
});

test("rule 3: EXPORT_NAME that can't be had closes the connection without a word", () => {
  for (const name of ["tape", "n".repeat(4097), "a\0b", "n".repeat(70_000)]) {
    const { session, transport } = greeted();
    feed(session, transport, encodeOption(OPTION.EXPORT_NAME, Buffer.from(name)));
    assert.equal(transport.state, "destroyed");
    assert.equal(transport.take().length, 0);
  }
});

test("rule 4: LIST names every export and takes no data, nor does STRUCTURED_REPLY", () => {
  const { ask, types } = greeted();
  const [server, ack] = ask(OPTION.LIST);
  assert.deepEqual(decodeServer(server?.data ?? NONE), { name: "disk", description: "a disk" });
  assert.equal(ack?.type, ACK);
  assert.deepEqual(types(OPTION.LIST, new Uint8Array(1)), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.STRUCTURED_REPLY, new Uint8Array(1)), [ERR_INVALID]);
});

test("rule 4: ABORT is acknowledged, whatever its data, and ends the connection", () => {
  const { types, transport } = greeted();
  assert.deepEqual(types(OPTION.ABORT, new Uint8Array(3)), [ACK]);
  assert.equal(transport.state, "ended");
});

test("rule 5: names of up to 4096 bytes are looked up, and an unknown one is not echoed", () => {
  const { ask } = greeted();
  for (const length of [257, 4096]) {
    const [reply] = ask(OPTION.GO, infoRequest("n".repeat(length)));
    assert.equal(reply?.type, ERR_UNKNOWN);
    assert((reply?.data.length ?? 0) < 100);
  }
});

test("rule 5: a malformed length or string is answered INVALID and closes nothing", () => {
  const { types, transport } = greeted();
  assert.deepEqual(types(OPTION.GO), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.GO, Buffer.from("ffffffff0000", "hex")), [ERR_INVALID]);
  // The name is one byte longer than the option's length less 6 allows.
  assert.deepEqual(types(OPTION.GO, Buffer.from("000000056469736b0000", "hex")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.INFO, infoRequest("n".repeat(4097))), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.GO, infoRequest("a\0b")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.GO, Buffer.from("00000001ff0000", "hex")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.LIST_META_CONTEXT, Buffer.from("0000", "hex")), [ERR_INVALID]);
  assert.deepEqual(types(OPTION.GO, new Uint8Array(70_000)), [ERR_TOO_BIG]);
  assert.equal(transport.state, "open");
});

test("rule 6: INFO and a following GO agree, and only GO ends the handshake", () => {
  const { ask, transport, device } = greeted();
  const wanted = [INFO.NAME, INFO.DESCRIPTION, INFO.BLOCK_SIZE, 99];
  const told = ask(OPTION.INFO, infoRequest("disk", wanted));
  assert.deepEqual(ask(OPTION.GO, infoRequest("disk", wanted)), told);
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
    FLAG.FAST_ZERO |
    FLAG.RESIZE;
  assert.deepEqual(infos[0], { kind: "export", size: device.geometry.size, flags });
  assert.equal(transport.state, "open");
});

test("rule 6: INFO_EXPORT is always told, and unknown information is not", () => {
  const { ask } = greeted();
  const told = ask(OPTION.INFO, infoRequest("disk", [99, 0xffff]));
  assert.deepEqual(
    told.slice(0, -1).map(({ data }) => data[1]),
    [INFO.EXPORT, INFO.BLOCK_SIZE],
  );
  assert.equal(told.at(-1)?.type, ACK);
});

test("rule 6: a device that grows between INFO and GO keeps its size for this client, and shows it to the next", () => {
  const device = new FakeDevice();
  const { size } = device.geometry;
  const before = greeted({ device });
  const told = before.ask(OPTION.INFO, infoRequest("disk"));
  device.geometry = { ...device.geometry, size: 2 * size };
  assert.deepEqual(before.ask(OPTION.GO, infoRequest("disk")), told);
  const [anew] = greeted({ device }).ask(OPTION.GO, infoRequest("disk"));
  assert.equal(sizeIn(anew), 2 * size);
});

function sizeIn(reply: { readonly data: Uint8Array } | undefined): number {
  const info = decodeInfo(reply?.data ?? NONE);
  assert(info !== undefined && info !== "unknown" && info.kind === "export");
  return info.size;
}

test("a read-only device advertises no writing and no RESIZE, one without trim no TRIM", () => {
  const flagsOf = (device: FakeDevice) => {
    const info = decodeInfo(greeted({ device }).ask(OPTION.INFO, infoRequest("disk"))[0]?.data ?? NONE);
    assert(info !== undefined && info !== "unknown" && info.kind === "export");
    return info.flags;
  };
  const readOnly = flagsOf(new FakeDevice({ readOnly: true }));
  assert.equal(readOnly, FLAG.HAS_FLAGS | FLAG.READ_ONLY | FLAG.CAN_MULTI_CONN | FLAG.CACHE);
  assert.equal(flagsOf(new FakeDevice({ trim: false })) & FLAG.TRIM, 0);
});

test("the empty name is the only export's, and nobody's where there are several", () => {
  const { types } = greeted();
  assert.deepEqual(types(OPTION.INFO, infoRequest("")), [INFORMATION, INFORMATION, ACK]);
  const device = new FakeDevice();
  const both = ["a", "b"].map((name) => ({ name, description: "", device }));
  const exports = { list: () => both, find: (name: string) => both.find((one) => one.name === name) };
  const transport = new FakeTransport();
  const session = new Session({ transport, exports, clock: new ManualClock() });
  feed(session, transport, encodeClientFlags({ fixedNewstyle: true, noZeroes: true }));
  transport.take();
  feed(session, transport, encodeOption(OPTION.INFO, infoRequest("")));
  assert.equal(optionReplies(transport.take())[0]?.type, ERR_UNKNOWN);
});

test("a bad option magic drops the connection", () => {
  const { session, transport } = greeted();
  feed(session, transport, new Uint8Array(16));
  assert.equal(transport.state, "destroyed");
});

test("a client of the old newstyle may say EXPORT_NAME alone", () => {
  const transport = new FakeTransport();
  const session = new Session({ transport, exports: oneExport(new FakeDevice()), clock: new ManualClock() });
  feed(session, transport, new Uint8Array(4));
  feed(session, transport, encodeOption(OPTION.LIST, NONE));
  assert.equal(transport.state, "destroyed");
});
