/**
 * What has brought other servers down, byte by byte, against a real server on a real socket. Whatever a client sends, a good
 * client next to it is served, and nothing of the bad one is left when it has gone.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { loadServerTls } from "../tls/server-tls.ts";
import { GREETING_BYTES } from "../wire/greeting.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from "../wire/options.ts";
import { COMMAND, COMMAND_FLAG, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { EXTENDED_REQUEST_BYTES, REQUEST_BYTES } from "../wire/requests.ts";
import {
  Client,
  ERROR_BYTES,
  FLAGS,
  HugeDevice,
  handshake,
  KIB,
  MIB,
  NO_DATA,
  openBench,
  optionHeader,
  request,
  turn,
} from "./testing-raw-client.ts";

const EINVAL = 22;
const ENOSPC = 28;

test("a flood of connections without a handshake keeps no client out (CVE-2017-9524, CVE-2019-14850, CVE-2024-7409)", async (context) => {
  const bench = await openBench(context, { maxConnections: 8 });
  const flood = await Promise.all(Array.from({ length: 40 }, () => Client.connect(bench)));
  await bench.provesWell();
  for (const client of flood) client.destroy();
});

test("a connection that ends before or within its handshake leaves nothing (CVE-2013-7441)", async (context) => {
  const bench = await openBench(context);
  const bytes = Buffer.concat([
    ...handshake(OPTION.STRUCTURED_REPLY),
    request({ type: COMMAND.READ, length: 4 * KIB }),
  ]);
  for (let length = 0; length <= bytes.length; length++) await bench.sendAndGo(bytes.subarray(0, length));
  await bench.isEmpty();
  await bench.provesWell();
});

test("a connection that ends at any byte of its first commands leaves nothing (CVE-2013-7441)", async (context) => {
  const bench = await openBench(context);
  for (const extended of [false, true]) {
    const begin = Buffer.concat(handshake(...(extended ? [OPTION.EXTENDED_HEADERS] : [])));
    const commands = Buffer.concat([
      request({ type: COMMAND.WRITE, length: 512, extended, data: Buffer.alloc(512, 1) }),
      request({ type: COMMAND.FLUSH, extended }),
      request({ type: COMMAND.READ, length: 4 * KIB, extended }),
      request({ type: COMMAND.TRIM, length: 512, extended }),
    ]);
    for (let length = 0; length <= commands.length; length += length < 40 || length > 530 ? 1 : 50)
      await bench.sendAndGo(Buffer.concat([begin, commands.subarray(0, length)]));
  }
  await bench.isEmpty();
  await bench.provesWell();
});

test("commands before the handshake, and options after it, end the connection (CVE-2019-14851)", async (context) => {
  const bench = await openBench(context);
  const early = await Client.connect(bench);
  early.send(FLAGS, request({ type: COMMAND.READ, length: 512 }));
  await early.closed();
  const late = await Client.connect(bench);
  late.send(...handshake(), encodeOption(OPTION.LIST, NO_DATA), Buffer.alloc(REQUEST_BYTES));
  await late.closed();
  await bench.isEmpty();
  await bench.provesWell();
});

test("options without a meaning, in any order and again and again, are each answered (CVE-2019-14851)", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  const select = encodeMetaContextRequest({ name: "disk", queries: ["base:allocation"] });
  client.send(FLAGS, encodeOption(OPTION.SET_META_CONTEXT, select));
  assert.equal(await client.errorOf(OPTION.SET_META_CONTEXT), OPTION_REPLY.ERR_INVALID);
  for (const number of [0, 4, 12, 0x7fff_ffff, 0xffff_ffff]) {
    client.send(encodeOption(number, Buffer.from("whatever")));
    assert.equal(await client.errorOf(number), OPTION_REPLY.ERR_UNSUP);
  }
  client.destroy();
  await bench.provesWell();
});

test("plain text behind STARTTLS ends the connection, and is not answered (CVE-2021-3716)", async (context) => {
  const keys = join(mkdtempSync(join(tmpdir(), "skink-keys-")), "keys.psk");
  writeFileSync(keys, `alice:${"0123456789abcdef".repeat(4)}\n`, { mode: 0o600 });
  context.after(() => rmSync(dirname(keys), { recursive: true }));
  const bench = await openBench(context, { tls: loadServerTls({ mode: "on", psk: keys }) });
  const behind = [encodeOption(OPTION.LIST, NO_DATA), ...handshake().slice(1), Buffer.from("\x16")];
  for (const injected of behind) {
    const client = await Client.connect(bench);
    client.send(
      FLAGS,
      encodeOption(OPTION.STRUCTURED_REPLY, NO_DATA),
      encodeOption(OPTION.STARTTLS, NO_DATA),
      injected,
    );
    await client.closed();
    // The greeting, and an ACK for each of the two options at the most.
    assert(client.bytesRead <= GREETING_BYTES + 2 * ERROR_BYTES, `${client.bytesRead} bytes came in plain text`);
  }
  await bench.isEmpty();
  await bench.provesWell();
});

test("STARTTLS of a server without TLS is refused, and the handshake goes on in plain text", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  client.send(FLAGS, encodeOption(OPTION.STARTTLS, NO_DATA));
  assert.equal(await client.errorOf(OPTION.STARTTLS), OPTION_REPLY.ERR_UNSUP);
  client.send(encodeOption(OPTION.GO, encodeInfoRequest({ name: "tape", wanted: [] })));
  assert.equal(await client.errorOf(OPTION.GO), OPTION_REPLY.ERR_UNKNOWN);
  client.destroy();
  await bench.provesWell();
});

test("garbage instead of a handshake ends the connection (CVE-2017-7539)", async (context) => {
  const bench = await openBench(context);
  for (const garbage of [
    "GET / HTTP/1.1\r\nHost: disk\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "\xff".repeat(64),
  ]) {
    const client = await Client.connect(bench);
    client.send(Buffer.from(garbage, "latin1"));
    await client.closed();
  }
  await bench.isEmpty();
  await bench.provesWell();
});

test("a client that dies with its replies pending loses them alone (CVE-2017-10664)", async (context) => {
  const bench = await openBench(context);
  const { device } = bench;
  device.held = true;
  const client = await Client.connect(bench);
  client.send(...handshake());
  for (let index = 0; index < 8; index++) client.send(request({ type: COMMAND.READ, length: 64 * KIB, cookie: index }));
  await client.read(GREETING_BYTES);
  while (device.pending.length < 8) await turn();
  client.destroy();
  await bench.isEmptyOfConnections();
  device.held = false;
  device.answerAll();
  await bench.isEmpty();
  await bench.provesWell();
});

for (const length of [257, 1024, 4095, 4096]) {
  test(`a name of ${length} bytes is unknown, and not repeated in the error (CVE-2017-15118, CVE-2020-10761)`, async (context) => {
    const bench = await openBench(context);
    const client = await Client.connect(bench);
    const name = "n".repeat(length);
    client.send(FLAGS);
    for (const option of [OPTION.INFO, OPTION.GO]) {
      client.send(encodeOption(option, encodeInfoRequest({ name, wanted: [] })));
      assert.equal(await client.errorOf(option), OPTION_REPLY.ERR_UNKNOWN);
    }
    client.send(encodeOption(OPTION.LIST_META_CONTEXT, encodeMetaContextRequest({ name, queries: [] })));
    assert.equal(await client.errorOf(OPTION.LIST_META_CONTEXT), OPTION_REPLY.ERR_UNKNOWN);
    client.send(encodeOption(OPTION.EXPORT_NAME, Buffer.from(name)));
    await client.closed();
    await bench.provesWell();
  });
}

test("longer names are invalid, or too much (CVE-2017-15118, CVE-2020-10761)", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  client.send(FLAGS, encodeOption(OPTION.GO, encodeInfoRequest({ name: "n".repeat(4097), wanted: [] })));
  assert.equal(await client.errorOf(OPTION.GO), OPTION_REPLY.ERR_INVALID);
  client.send(encodeOption(OPTION.GO, encodeInfoRequest({ name: "n".repeat(100_000), wanted: [] })));
  assert.equal(await client.errorOf(OPTION.GO), OPTION_REPLY.ERR_TOO_BIG);
  client.destroy();
  await bench.provesWell();
});

test("an option of 4 GiB ends the connection before its data is read (CVE-2017-15119)", async (context) => {
  const bench = await openBench(context);
  for (const option of [OPTION.EXPORT_NAME, OPTION.ABORT, OPTION.LIST, OPTION.GO, 77]) {
    const client = await Client.connect(bench);
    client.send(FLAGS, optionHeader(option, 0xffff_ffff), Buffer.alloc(1024));
    await client.closed();
  }
  await bench.isEmpty();
  await bench.provesWell();
});

test("requests longer than any buffer are refused or end the connection (CVE-2005-3534, CVE-2011-0530)", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  await client.choose();
  for (const length of [32 * MIB + 512, 0x7fff_fe00, 0xffff_fe00, 0xffff_ffff]) {
    client.send(request({ type: COMMAND.READ, length }));
    assert.equal(await client.simpleError(), EINVAL);
  }
  client.send(request({ type: COMMAND.WRITE, length: 0xffff_ffff }), Buffer.alloc(4096));
  await client.closed();
  await bench.isEmpty();
  await bench.provesWell();
});

test("offsets and lengths whose sum overflows are past the end (CVE-2005-3534, CVE-2011-0530)", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  await client.choose();
  const errors: readonly [number, number][] = [
    [COMMAND.READ, EINVAL],
    [COMMAND.TRIM, EINVAL],
    [COMMAND.WRITE_ZEROES, ENOSPC],
  ];
  for (const [type, errno] of errors) {
    const bytes = request({ type, length: 512 });
    bytes.writeBigUInt64BE(0xffff_ffff_ffff_fe00n, 16);
    client.send(bytes);
    assert.equal(await client.simpleError(), errno);
  }
  client.destroy();
  await bench.provesWell();
});

test("a name of 0xffffffff bytes, and one longer than its option, is invalid (CVE-2022-26495, CVE-2022-26496)", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  client.send(FLAGS);
  for (const length of [0xffff_ffff, 0xffff_fffe, 0x8000_0000, 7, 100]) {
    const data = Buffer.alloc(10);
    data.writeUInt32BE(length);
    for (const option of [OPTION.INFO, OPTION.GO, OPTION.LIST_META_CONTEXT]) {
      client.send(encodeOption(option, data));
      assert.equal(await client.errorOf(option), OPTION_REPLY.ERR_INVALID, `option ${option}, length ${length}`);
    }
  }
  client.destroy();
  await bench.provesWell();
});

test("a count of queries beyond the option is invalid, and costs nothing (CVE-2022-26496)", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  const data = Buffer.from(encodeMetaContextRequest({ name: "disk", queries: [] }));
  data.writeUInt32BE(0xffff_ffff, data.length - 4);
  client.send(FLAGS, encodeOption(OPTION.LIST_META_CONTEXT, data));
  assert.equal(await client.errorOf(OPTION.LIST_META_CONTEXT), OPTION_REPLY.ERR_INVALID);
  client.destroy();
  await bench.provesWell();
});

test("lengths past 2^32 are past the end of a smaller disk, not cut to fit in (CVE-2025-47711, CVE-2025-47712)", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  await client.choose(OPTION.EXTENDED_HEADERS);
  const lengths = [2 ** 32, 2 ** 32 + 512, 2 ** 53 - 512];
  for (const length of lengths) {
    client.send(request({ type: COMMAND.WRITE_ZEROES, length, extended: true }));
    assert.equal(await client.chunkError(), ENOSPC);
    client.send(request({ type: COMMAND.BLOCK_STATUS, length, extended: true }));
    assert.equal(await client.chunkError(), EINVAL);
  }
  assert.deepEqual(bench.device.log, []);
  client.send(request({ type: COMMAND.WRITE, length: 2 ** 32 + 512, extended: true }));
  await client.closed();
  await bench.provesWell();
});

test("lengths past 2^32 reach a larger disk whole, and so does what it answers (CVE-2025-47711, CVE-2025-47712)", async (context) => {
  const device = new HugeDevice({ size: MIB });
  const bench = await openBench(context, {}, device);
  const client = await Client.connect(bench);
  await client.choose(OPTION.EXTENDED_HEADERS, OPTION.SET_META_CONTEXT);
  const length = 2 ** 32 + 512;
  for (const type of [COMMAND.WRITE_ZEROES, COMMAND.TRIM, COMMAND.CACHE]) {
    client.send(request({ type, length, extended: true }));
    assert.equal(await client.chunkError(), 0);
  }
  client.send(request({ type: COMMAND.BLOCK_STATUS, length, extended: true }));
  const header = await client.read(EXTENDED_REQUEST_BYTES);
  const body = await client.read(Number(header.readBigUInt64BE(24)));
  assert.equal(body.readBigUInt64BE(8), BigInt(length));
  const kinds = ["zero", "trim", "cache", "extents"];
  assert.deepEqual(
    device.log,
    kinds.map((kind) => `${kind} 0+${length}`),
  );
  client.destroy();
  await bench.provesWell();
});

test("an extent past 2^32 is told in parts to who has compact headers (CVE-2025-47711, CVE-2025-47712)", async (context) => {
  const bench = await openBench(context);
  const length = 2 ** 32 + MIB;
  bench.device.extents = [{ length, hole: true, zero: true }];
  const client = await Client.connect(bench);
  await client.choose(OPTION.STRUCTURED_REPLY, OPTION.SET_META_CONTEXT);
  client.send(request({ type: COMMAND.BLOCK_STATUS, length: MIB }));
  const header = await client.read(20);
  const body = await client.read(header.readUInt32BE(16));
  let told = 0;
  for (let at = 4; at < body.length; at += 8) {
    assert(body.readUInt32BE(at) > 0);
    told += body.readUInt32BE(at);
  }
  assert(told >= MIB && told <= length, `the extents are ${told} bytes long`);
  client.destroy();
  await bench.provesWell();
});

test("the data of refused writes is read and dropped, and the next command understood", async (context) => {
  const bench = await openBench(context);
  const client = await Client.connect(bench);
  await client.choose();
  client.send(request({ type: COMMAND.WRITE, flags: 0x8000, length: 512 }), Buffer.alloc(512));
  assert.equal(await client.simpleError(), EINVAL);
  client.send(request({ type: COMMAND.FLUSH, flags: COMMAND_FLAG.FUA }));
  assert.equal(await client.simpleError(), 0);
  client.destroy();
  await bench.provesWell();
});
