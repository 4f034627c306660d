import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { Bench } from "../../shadow/testing.ts";
import { CHUNK, COMMAND, COMMAND_FLAG, OPTION } from "../wire/protocol.ts";
import { FakeDevice, feed } from "./testing.ts";
import {
  chosen,
  clientOf,
  command,
  errorOf,
  greeted,
  infoRequest,
  parseReplies,
  read,
  write,
} from "./testing-client.ts";

const { DF, REQ_ONE } = COMMAND_FLAG;
const KIB = 1024;

test("a read returns what was written, with simple and with structured replies", () => {
  const data = new Uint8Array(512).fill(3);
  const plain = chosen({ replies: "simple" });
  assert.equal(errorOf(plain.say(write(512, data))), 0);
  feed(plain.session, plain.transport, read(512, 512));
  assert.deepEqual(parseReplies(plain.transport.take(), 512)[0]?.body, Buffer.from(data));

  const structured = chosen();
  assert.equal(errorOf(structured.say(write(512, data))), 0);
  const [reply] = structured.say(read(512, 512)).replies;
  assert.equal(reply?.type, CHUNK.OFFSET_DATA);
  assert.equal(reply?.done, true);
  assert.equal(reply?.body.readBigUInt64BE(0), 512n);
  assert.deepEqual(reply?.body.subarray(8), Buffer.from(data));
});

test("rule 19: with structured replies, errors of reads and of block status are chunks", () => {
  const device = new FakeDevice();
  device.errno = ERRNO.EIO;
  const { say } = chosen({ device });
  for (const bytes of [read(0, 512), command(COMMAND.BLOCK_STATUS, 0, 512), read(1, 512)]) {
    const [reply] = say(bytes).replies;
    assert.equal(reply?.type, CHUNK.ERROR);
    assert.equal(reply?.done, true);
  }
  assert.equal(say(write(0, new Uint8Array(512))).replies[0]?.type, -1);
  assert.equal(device.reads.usedBytes, 0);
});

test("rule 19: chunks cover the read, each byte once, and only the last is done", () => {
  const device = new FakeDevice();
  device.content.fill(1, 64 * KIB, 128 * KIB);
  device.content.fill(1, 300 * KIB, 301 * KIB);
  const { say } = chosen({ device });
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

test("rule 19: DF gets one content chunk", () => {
  const { say } = chosen();
  const chunks = say(read(0, 512 * KIB, DF)).replies;
  assert.deepEqual(
    chunks.map(({ type }) => type),
    [CHUNK.OFFSET_DATA],
  );
});

test("DF without structured replies is an unknown flag", () => {
  const { say } = chosen({ replies: "simple" });
  assert.equal(errorOf(say(read(0, 512, DF))), ERRNO.EINVAL);
});

test("rule 20: what reads as zeroes comes as a hole, with DF as data", () => {
  const { say } = chosen();
  const [hole] = say(read(0, 128 * KIB)).replies;
  assert.equal(hole?.type, CHUNK.OFFSET_HOLE);
  assert.equal(hole?.body.toString("hex"), "0000000000000000" + "00020000");
  const [data] = say(read(0, 128 * KIB, DF)).replies;
  assert.equal(data?.type, CHUNK.OFFSET_DATA);
  assert.equal(data?.body.length, 8 + 128 * KIB);
});

test("rule 21: a block status tells the extents, REQ_ONE the first alone", () => {
  const device = new FakeDevice();
  device.extents = [
    { length: 512, hole: false, zero: false },
    { length: 512, hole: true, zero: true },
  ];
  const { say } = chosen({ device });
  const [both] = say(command(COMMAND.BLOCK_STATUS, 0, 1024)).replies;
  assert.equal(both?.body.toString("hex"), "00000001" + "00000200" + "00000000" + "00000200" + "00000003");
  const [one] = say(command(COMMAND.BLOCK_STATUS, 0, 1024, REQ_ONE)).replies;
  assert.equal(one?.body.toString("hex"), "00000001" + "00000200" + "00000000");
});

test("rule 21: a block status without a negotiated context is EINVAL", () => {
  const { say } = chosen({ replies: "simple" });
  assert.equal(errorOf(say(command(COMMAND.BLOCK_STATUS, 0, 512))), ERRNO.EINVAL);
  const { session, transport, types } = greeted();
  types(OPTION.STRUCTURED_REPLY);
  types(OPTION.GO, infoRequest("disk"));
  feed(session, transport, command(COMMAND.BLOCK_STATUS, 0, 512));
  const [reply] = parseReplies(transport.take());
  assert.deepEqual([reply?.type, reply?.error], [CHUNK.ERROR, ERRNO.EINVAL]);
});

test("rule 21: a driver that can't tell what it stores is said to hold data, unasked", () => {
  const bench = new Bench({ geometry: { extents: false } });
  const { usedBytes } = bench.reads;
  const { say } = clientOf(bench.device);
  const [reply] = say(command(COMMAND.BLOCK_STATUS, 512, 1024)).replies;
  assert.equal(reply?.body.toString("hex"), "00000001" + "00000400" + "00000000");
  assert.deepEqual(bench.link.summary, []);
  assert.equal(bench.reads.usedBytes, usedBytes);
});
