import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { ManualClock } from "../../shadow/testing.ts";
import { encodeClientFlags } from "../wire/greeting.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from "../wire/options.ts";
import { CHUNK, COMMAND, COMMAND_FLAG, OPTION } from "../wire/protocol.ts";
import { encodeRequest } from "../wire/requests.ts";
import { viewOf } from "../wire/view.ts";
import { Session } from "./session.ts";
import { FakeDevice, FakeTransport, feed, oneExport } from "./testing.ts";
import { OUTPUT_HIGH_WATER_BYTES } from "./transport.ts";

const { FUA, DF, REQ_ONE, NO_HOLE, FAST_ZERO } = COMMAND_FLAG;
const KIB = 1024;
const MIB = KIB * KIB;

interface Options {
  readonly structured?: boolean;
  readonly device?: FakeDevice;
  readonly inFlightRequests?: number;
}

function handshake(structured: boolean): Buffer {
  const options = [encodeClientFlags({ fixedNewstyle: true, noZeroes: true })];
  if (structured) {
    const contexts = encodeMetaContextRequest({ name: "disk", queries: ["base:allocation"] });
    options.push(encodeOption(OPTION.STRUCTURED_REPLY, new Uint8Array(0)));
    options.push(encodeOption(OPTION.SET_META_CONTEXT, contexts));
  }
  options.push(encodeOption(OPTION.GO, encodeInfoRequest({ name: "disk", wanted: [] })));
  return Buffer.concat(options);
}

/** How long the server's side of the structured handshake is. */
function handshakeReplyBytes(): number {
  const transport = new FakeTransport();
  const session = new Session({
    transport,
    exports: oneExport(new FakeDevice({ size: 64 * KIB })),
    clock: new ManualClock(),
  });
  feed(session, transport, handshake(true));
  return transport.take().length;
}

function start({ structured = true, device = new FakeDevice(), inFlightRequests = 256 }: Options = {}) {
  const transport = new FakeTransport();
  const clock = new ManualClock();
  const session = new Session({ transport, exports: oneExport(device), clock, limits: { inFlightRequests } });
  feed(session, transport, handshake(structured));
  transport.take();
  const say = (bytes: Uint8Array) => {
    const taken = feed(session, transport, bytes);
    return { taken, replies: replies(transport.take()) };
  };
  return { session, transport, clock, device, say };
}

let cookies = 0;
function command(
  type: number,
  offset: number,
  length: number,
  flags = 0,
  data: Uint8Array = new Uint8Array(0),
): Buffer {
  const bytes = Buffer.alloc(28 + data.length);
  const view = viewOf(bytes);
  encodeRequest(view, 0, { type, flags, offset, length, cookieHigh: 0, cookieLow: ++cookies });
  bytes.set(data, 28);
  return bytes;
}
const write = (offset: number, data: Uint8Array, flags = 0) => command(COMMAND.WRITE, offset, data.length, flags, data);
const read = (offset: number, length: number, flags = 0) => command(COMMAND.READ, offset, length, flags);

interface Reply {
  readonly cookie: number;
  /** Of a simple reply -1; else of a chunk. */
  readonly type: number;
  readonly done: boolean;
  readonly error: number;
  readonly body: Buffer;
}

/** Replies of a conversation; data of simple replies to reads of 512 bytes alone is understood. */
function replies(bytes: Buffer, simpleData = 0): Reply[] {
  const found: Reply[] = [];
  for (let at = 0; at < bytes.length; ) {
    const cookie = bytes.readUInt32BE(at + 12);
    if (bytes.readUInt32BE(at) === 0x67446698) {
      const error = bytes.readUInt32BE(at + 4);
      const length = error === 0 ? simpleData : 0;
      found.push({ cookie, type: -1, done: true, error, body: bytes.subarray(at + 16, at + 16 + length) });
      at += 16 + length;
    } else {
      assert.equal(bytes.readUInt32BE(at), 0x668e33ef);
      const type = bytes.readUInt16BE(at + 6);
      const length = bytes.readUInt32BE(at + 16);
      const body = bytes.subarray(at + 20, at + 20 + length);
      const error = type === CHUNK.ERROR ? body.readUInt32BE(0) : 0;
      found.push({ cookie, type, done: (bytes.readUInt16BE(at + 4) & 1) === 1, error, body });
      at += 20 + length;
    }
  }
  return found;
}

const errorOf = (said: { replies: Reply[] }) => {
  assert.equal(said.replies.length, 1);
  return said.replies[0]?.error;
};

test("a read returns what was written, with simple and with structured replies", () => {
  const data = new Uint8Array(512).fill(3);
  const plain = start({ structured: false });
  assert.equal(errorOf(plain.say(write(512, data))), 0);
  feed(plain.session, plain.transport, read(512, 512));
  assert.deepEqual(replies(plain.transport.take(), 512)[0]?.body, Buffer.from(data));

  const structured = start();
  assert.equal(errorOf(structured.say(write(512, data))), 0);
  const [reply] = structured.say(read(512, 512)).replies;
  assert.equal(reply?.type, CHUNK.OFFSET_DATA);
  assert.equal(reply?.done, true);
  assert.equal(reply?.body.readBigUInt64BE(0), 512n);
  assert.deepEqual(reply?.body.subarray(8), Buffer.from(data));
});

test("a large write is received straight into the request's memory", () => {
  const device = new FakeDevice({ size: 4 * MIB });
  const { session, transport, say } = start({ device });
  const data = new Uint8Array(2 * MIB + 512).map((_, index) => index % 251);
  const bytes = write(0, data);
  feed(session, transport, bytes.subarray(0, 28));
  assert.equal(session.receiveBuffer().length, MIB);
  say(bytes.subarray(28));
  assert.deepEqual(device.content.subarray(0, data.length), data);
  assert.equal(device.writes.usedBytes, 0);
});

test("each refusal has its error and keeps the connection", () => {
  const { say, transport, device } = start();
  const { size } = device.geometry;
  const data = new Uint8Array(512);
  const cases: [string, Buffer, number][] = [
    ["unknown command", command(99, 0, 0), ERRNO.EINVAL],
    ["unknown flag", read(0, 512, 1 << 15), ERRNO.EINVAL],
    ["DF on a write", write(0, data, DF), ERRNO.EINVAL],
    ["NO_HOLE on a trim", command(COMMAND.TRIM, 0, 512, NO_HOLE), ERRNO.EINVAL],
    ["REQ_ONE on a read", read(0, 512, REQ_ONE), ERRNO.EINVAL],
    ["FAST_ZERO on a flush", command(COMMAND.FLUSH, 0, 0, FAST_ZERO), ERRNO.EINVAL],
    ["a flush of a range", command(COMMAND.FLUSH, 0, 512), ERRNO.EINVAL],
    ["unaligned offset", read(1, 512), ERRNO.EINVAL],
    ["unaligned length", write(0, new Uint8Array(511)), ERRNO.EINVAL],
    ["read past the end", read(size, 512), ERRNO.EINVAL],
    ["write past the end", write(size - 512, new Uint8Array(1024)), ERRNO.ENOSPC],
    ["zero past the end", command(COMMAND.WRITE_ZEROES, size, 512), ERRNO.ENOSPC],
    ["trim past the end", command(COMMAND.TRIM, size, 512), ERRNO.EINVAL],
    ["cache past the end", command(COMMAND.CACHE, size, 512), ERRNO.EINVAL],
    ["status past the end", command(COMMAND.BLOCK_STATUS, size, 512), ERRNO.EINVAL],
    ["status of nothing", command(COMMAND.BLOCK_STATUS, 0, 0), ERRNO.EINVAL],
    ["offset near 2^64", Buffer.concat([read(0, 512)]).fill(0xff, 16, 24), ERRNO.EINVAL],
    ["read of more than 32 MiB", read(0, 33 * MIB), ERRNO.EINVAL],
    ["read of 4 GiB", read(0, 0xffff_fe00), ERRNO.EINVAL],
  ];
  for (const [name, bytes, errno] of cases) assert.equal(errorOf(say(bytes)), errno, name);
  assert.equal(transport.state, "open");
  assert.deepEqual(device.log, []);
});

test("writers are refused on a read-only device with EPERM, after their data", () => {
  const { say } = start({ device: new FakeDevice({ readOnly: true }) });
  assert.equal(errorOf(say(write(0, new Uint8Array(512)))), ERRNO.EPERM);
  assert.equal(errorOf(say(command(COMMAND.WRITE_ZEROES, 0, 512))), ERRNO.EPERM);
  assert.equal(errorOf(say(command(COMMAND.TRIM, 0, 512))), ERRNO.EPERM);
  assert.equal(errorOf(say(read(0, 512, FUA))), ERRNO.EINVAL);
  assert.equal(errorOf(say(read(0, 512))), 0);
});

test("FUA is taken on every command, and length zero never disconnects", () => {
  const { say, transport } = start();
  assert.equal(errorOf(say(read(0, 512, FUA))), 0);
  assert.equal(errorOf(say(command(COMMAND.FLUSH, 0, 0, FUA))), 0);
  for (const type of [COMMAND.CACHE, COMMAND.TRIM, COMMAND.WRITE_ZEROES, COMMAND.BLOCK_STATUS])
    assert.equal(errorOf(say(command(type, 0, 512, FUA))), 0);
  assert.equal(errorOf(say(write(0, new Uint8Array(512), FUA))), 0);
  for (const type of [COMMAND.READ, COMMAND.WRITE, COMMAND.TRIM, COMMAND.WRITE_ZEROES, COMMAND.CACHE])
    assert.equal(errorOf(say(command(type, 0, 0))), 0);
  assert.equal(transport.state, "open");
});

test("a refused write of up to 64 MiB is read and answered, a longer one ends the connection", () => {
  const { session, say, transport } = start();
  const said = say(write(0, new Uint8Array(33 * MIB)));
  assert.equal(errorOf(said), ERRNO.EINVAL);
  assert.equal(errorOf(say(read(0, 512))), 0);
  feed(session, transport, command(COMMAND.WRITE, 0, 65 * MIB));
  assert.equal(transport.state, "destroyed");
});

test("a bad request magic ends the connection", () => {
  const { say, transport } = start();
  say(new Uint8Array(28));
  assert.equal(transport.state, "destroyed");
});

test("with structured replies, errors of reads and of block status are chunks", () => {
  const device = new FakeDevice();
  device.errno = ERRNO.EIO;
  const { say } = start({ device });
  for (const bytes of [read(0, 512), command(COMMAND.BLOCK_STATUS, 0, 512), read(1, 512)]) {
    const [reply] = say(bytes).replies;
    assert.equal(reply?.type, CHUNK.ERROR);
    assert.equal(reply?.done, true);
  }
  assert.equal(say(write(0, new Uint8Array(512))).replies[0]?.type, -1);
  assert.equal(device.reads.usedBytes, 0);
});

test("runs of zeroes come as holes that with the data cover the read, each byte once", () => {
  const device = new FakeDevice();
  device.content.fill(1, 64 * KIB, 128 * KIB);
  device.content.fill(1, 300 * KIB, 301 * KIB);
  const { say } = start({ device });
  const chunks = say(read(0, 512 * KIB)).replies;
  const { OFFSET_DATA, OFFSET_HOLE } = CHUNK;
  assert.deepEqual(
    chunks.map(({ type }) => type),
    [OFFSET_HOLE, OFFSET_DATA, OFFSET_HOLE, OFFSET_DATA, OFFSET_HOLE],
  );
  let at = 0;
  for (const { type, body, done } of chunks) {
    assert.equal(Number(body.readBigUInt64BE(0)), at);
    at += type === OFFSET_HOLE ? body.readUInt32BE(8) : body.length - 8;
    assert.equal(done, at === 512 * KIB);
  }
  assert.equal(at, 512 * KIB);
  assert.equal(device.reads.usedBytes, 0);
});

test("DF gets one content chunk", () => {
  const { say } = start();
  const chunks = say(read(0, 512 * KIB, DF)).replies;
  assert.deepEqual(
    chunks.map(({ type }) => type),
    [CHUNK.OFFSET_DATA],
  );
});

test("DF without structured replies is an unknown flag", () => {
  const { say } = start({ structured: false });
  assert.equal(errorOf(say(read(0, 512, DF))), ERRNO.EINVAL);
});

test("a block status tells the extents, REQ_ONE the first alone", () => {
  const device = new FakeDevice();
  device.extents = [
    { length: 512, hole: false, zero: false },
    { length: 512, hole: true, zero: true },
  ];
  const { say } = start({ device });
  const [both] = say(command(COMMAND.BLOCK_STATUS, 0, 1024)).replies;
  assert.equal(both?.body.toString("hex"), "00000001" + "00000200" + "00000000" + "00000200" + "00000003");
  const [one] = say(command(COMMAND.BLOCK_STATUS, 0, 1024, REQ_ONE)).replies;
  assert.equal(one?.body.toString("hex"), "00000001" + "00000200" + "00000000");
});

test("a driver without extents is said to hold data, unasked", () => {
  const device = new FakeDevice({ extents: false });
  const { say } = start({ device });
  const [reply] = say(command(COMMAND.BLOCK_STATUS, 512, 1024)).replies;
  assert.equal(reply?.body.toString("hex"), "00000001" + "00000400" + "00000000");
  assert.deepEqual(device.log, []);
});

test("a block status without a negotiated context is EINVAL", () => {
  const { say } = start({ structured: false });
  assert.equal(errorOf(say(command(COMMAND.BLOCK_STATUS, 0, 512))), ERRNO.EINVAL);
});

test("contexts count for the export finally chosen alone, and a failed attempt to set them forgets them", () => {
  const devices = ["disk", "tape"].map((name) => ({ name, description: "", device: new FakeDevice() }));
  const exports = { list: () => devices, find: (name: string) => devices.find((one) => one.name === name) };
  const select = (name: string, ...queries: string[]) =>
    encodeOption(OPTION.SET_META_CONTEXT, encodeMetaContextRequest({ name, queries }));
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
    feed(session, transport, encodeOption(OPTION.STRUCTURED_REPLY, new Uint8Array(0)));
    feed(session, transport, selection);
    feed(session, transport, encodeOption(OPTION.GO, encodeInfoRequest({ name: "disk", wanted: [] })));
    transport.take();
    feed(session, transport, command(COMMAND.BLOCK_STATUS, 0, 512));
    assert.equal(errorOf({ replies: replies(transport.take()) }), errno, name);
  }
});

test("what has no payload may be larger than the largest payload", () => {
  const device = new FakeDevice({ size: 64 * MIB });
  const { say } = start({ device });
  for (const type of [COMMAND.TRIM, COMMAND.WRITE_ZEROES, COMMAND.CACHE, COMMAND.BLOCK_STATUS])
    assert.equal(errorOf(say(command(type, 0, 64 * MIB))), 0);
  assert.equal(device.log.length, 4);
});

test("the flags of a zero reach the device", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say } = start({ device });
  say(command(COMMAND.WRITE_ZEROES, 0, 512, FUA | NO_HOLE));
  say(command(COMMAND.WRITE_ZEROES, 0, 512, FAST_ZERO));
  const flags = device.pending.map(({ fua, mayTrim, fast }) => ({ fua, mayTrim, fast }));
  assert.deepEqual(flags, [
    { fua: true, mayTrim: false, fast: false },
    { fua: false, mayTrim: true, fast: true },
  ]);
});

test("without room nothing more is parsed or received, and it goes on in order when there is", () => {
  const device = new FakeDevice();
  device.held = true;
  device.depth = 1;
  const { say, transport } = start({ device });
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
  assert.equal(replies(transport.take()).length, 3);
});

test("a client that hung up while it was paused loses what was not parsed, and nothing else", () => {
  const device = new FakeDevice();
  device.held = true;
  device.depth = 1;
  const { say, transport, session } = start({ device });
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
  const { session, transport, device, clock } = start();
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
  const { session, transport, device } = start();
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
  const { say, session } = start({ device });
  say(read(0, 512));
  session.closed();
  device.depth = 1;
  device.makeRoom();
  assert.deepEqual(device.log, []);
});

test("replies to a dead connection are dropped and their memory is released", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, session, transport } = start({ device });
  say(Buffer.concat([read(0, 4096), read(4096, 4096), write(0, new Uint8Array(512))]));
  session.closed();
  device.answerAll();
  assert.equal(device.reads.usedBytes, 0);
  assert.equal(transport.take().length, 0);
});

test("at the limit of requests in flight the client waits, and goes on at half of it", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, transport, clock } = start({ device, inFlightRequests: 4 });
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
  assert.equal(replies(transport.take()).length, 10);
  assert.equal(transport.paused, false);
});

test("a client that does not read its replies is not read either, until they have gone", () => {
  const device = new FakeDevice();
  device.content.fill(1);
  const { say, transport, session } = start({ device });
  transport.stuck = true;
  let sent = 0;
  while (!transport.paused) sent += say(read(0, MIB)).taken / 28;
  assert.equal(sent, 5);
  assert(transport.queuedBytes < OUTPUT_HIGH_WATER_BYTES + 2 * MIB);
  transport.stuck = false;
  transport.flush();
  session.drained();
  assert.equal(replies(transport.take()).length, sent);
  assert.equal(transport.paused, false);
  assert.equal(device.reads.usedBytes, 0);
});

test("DISC finishes what is outstanding, has no reply, and closes", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, transport } = start({ device });
  say(Buffer.concat([write(0, new Uint8Array(512)), command(COMMAND.DISC, 0, 0), read(0, 512)]));
  assert.equal(transport.state, "open");
  device.answerAll();
  assert.equal(transport.state, "ended");
  assert.equal(replies(transport.take()).length, 1);
  assert.deepEqual(device.log, ["write 0+512"]);
});

test("a shutdown answers new commands ESHUTDOWN, finishes those in flight, and ends", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, session, transport } = start({ device });
  say(write(0, new Uint8Array(512)));
  session.shutdown();
  assert.equal(errorOf(say(read(0, 512))), ERRNO.ESHUTDOWN);
  assert.equal(errorOf(say(write(0, new Uint8Array(512)))), ERRNO.ESHUTDOWN);
  assert.equal(transport.state, "open");
  device.answerAll();
  assert.equal(transport.state, "ended");
  assert.equal(replies(transport.take()).length, 1);
});

test("a shutdown refuses what waits for room or for its data", () => {
  const device = new FakeDevice();
  device.held = true;
  device.depth = 1;
  const { say, session, transport } = start({ device });
  say(Buffer.concat([read(0, 512), read(512, 512)]));
  session.shutdown();
  assert.equal(errorOf({ replies: replies(transport.take()) }), ERRNO.ESHUTDOWN);
  device.answerAll();
  assert.equal(transport.state, "ended");

  const half = start();
  feed(half.session, half.transport, write(0, new Uint8Array(4096)).subarray(0, 100));
  half.session.shutdown();
  assert.equal(half.transport.state, "ended");
  assert.equal(half.device.admitted, 0);
});

test("a conversation gets the same replies wherever its bytes are split", () => {
  const data = new Uint8Array(1024).map((_, index) => index % 255);
  const conversation = Buffer.concat([
    handshake(true),
    write(512, data, FUA),
    read(0, 2048),
    command(COMMAND.BLOCK_STATUS, 0, 4096),
    write(512, new Uint8Array(700)),
    command(COMMAND.FLUSH, 0, 0),
    command(99, 0, 0),
    command(COMMAND.DISC, 0, 0),
  ]);
  const handshakeBytes = handshakeReplyBytes();
  const talk = (splits: readonly number[]) => {
    const transport = new FakeTransport();
    const session = new Session({
      transport,
      exports: oneExport(new FakeDevice({ size: 64 * KIB })),
      clock: new ManualClock(),
    });
    let from = 0;
    for (const to of [...splits, conversation.length]) {
      feed(session, transport, conversation.subarray(from, to));
      from = to;
    }
    assert.equal(transport.state, "ended");
    // What is answered without the device overtakes the rest of its batch, so the order is left out.
    const said = transport.take();
    const answers = replies(said.subarray(handshakeBytes)).sort((a, b) => a.cookie - b.cookie);
    const bodies = answers.map(
      ({ cookie, type, error, body }) => `${cookie} ${type} ${error} ${body.toString("base64")}`,
    );
    return createHash("sha256").update(said.subarray(0, handshakeBytes)).update(bodies.join("\n")).digest("hex");
  };
  const whole = talk([]);
  for (let split = 1; split < conversation.length; split++) assert.equal(talk([split]), whole, `split at ${split}`);
  assert.equal(talk(Array.from({ length: conversation.length }, (_, index) => index)), whole);
});

test("a connection may close at every byte of a conversation", () => {
  const conversation = Buffer.concat([
    handshake(true),
    write(0, new Uint8Array(600)),
    write(0, new Uint8Array(512)),
    read(0, 512),
  ]);
  for (let length = 0; length <= conversation.length; length++) {
    const device = new FakeDevice({ size: 64 * KIB });
    const transport = new FakeTransport();
    const clock = new ManualClock();
    const session = new Session({ transport, exports: oneExport(device), clock });
    feed(session, transport, conversation.subarray(0, length));
    session.closed();
    assert.equal(device.admitted + device.reads.usedBytes + device.writes.usedBytes + clock.timers, 0);
  }
});
