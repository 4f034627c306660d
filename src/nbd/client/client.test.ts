import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeDevice, submitted } from "../server/testing.ts";
import { encodeInfo, encodeOptionReply } from "../wire/option-replies.ts";
import { COMMAND, FLAG, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { assumed } from "./agreement.ts";
import { NbdClient } from "./client.ts";
import { payloadLimit } from "./split.ts";
import { haggleAsServer, KIB, MIB, plainAnswers, requestsIn, scripted, served, simpleReply } from "./testing.ts";

for (const replies of ["simple", "structured", "extended"] as const) {
  test(`with ${replies} replies, what is written is read`, async (context) => {
    const place = await served(context);
    const client = await place.connect({ replies });
    assert.deepEqual([client.structured, client.extended], [replies !== "simple", replies === "extended"]);
    const data = new Uint8Array(300 * KIB).map((_, index) => (index * 7) % 251);
    await client.write(4 * KIB, data, { fua: true });
    await client.flush();
    await client.zero(4 * KIB, KIB);
    await client.trim(5 * KIB, KIB);
    await client.cache(0, MIB);
    const expected = data.slice();
    expected.fill(0, 0, 2 * KIB);
    assert.deepEqual(await client.read(4 * KIB, data.length), expected);
    const into = new Uint8Array(512);
    await client.readInto(8 * KIB, into);
    assert.deepEqual(into, data.subarray(4 * KIB, 4 * KIB + 512));
    assert.equal(client.canBlockStatus, replies !== "simple");
    await client.close();
    assert.equal(client.connected, false);
  });
}

for (const option of ["timeoutMs", "replyTimeoutMs", "maxRequests", "maxBytes"]) {
  test(`a ${option} that makes no sense is refused before anybody is connected to`, async () => {
    const nobody = { address: { path: "/nonexistent/nbd.sock" } };
    for (const value of [0, -1, Number.NaN])
      await assert.rejects(NbdClient.connect(nobody, { [option]: value }), RangeError);
    for (const option of ["attempts", "delayMs", "maxDelayMs"])
      for (const value of [0, -1, Number.NaN])
        await assert.rejects(NbdClient.connect(nobody, { reconnect: { [option]: value } }), RangeError);
  });
}

test("a request larger than the largest payload goes in parts, and settles once", async (context) => {
  const place = await served(context, new FakeDevice({ size: 80 * MIB }));
  const client = await place.connect();
  const data = Buffer.alloc(70 * MIB, "0123456789");
  await client.write(512, data);
  assert.equal(place.device.log.filter((line) => line.startsWith("write")).length, 3);
  const read = await client.read(512, data.length);
  assert.equal(Buffer.compare(read, data), 0);
  await client.close();
});

test("a part that fails fails the whole, when no other part is in use any more", async (context) => {
  const place = await served(context, new FakeDevice({ size: 80 * MIB }));
  const client = await place.connect();
  place.device.errno = 5;
  await assert.rejects(client.write(0, Buffer.alloc(70 * MIB)), { code: "EIO" });
  assert.equal(place.device.writes.usedBytes, 0);
  place.device.errno = 0;
  await client.flush();
  await client.close();
});

test("ranges past 4 GiB are zeroed, trimmed and asked of in one request with extended headers, in parts without", async (context) => {
  const device = vastDevice();
  const place = await served(context, device);
  const extended = await place.connect();
  await extended.zero(512, 5 * 2 ** 30);
  await extended.trim(0, 2 ** 39);
  await extended.blockStatus(0, 2 ** 40);
  assert.deepEqual(device.log, ["zero 512+5368709120", "trim 0+549755813888", "extents 0+1099511627776"]);
  device.log.length = 0;
  const structured = await place.connect({ replies: "structured" });
  await structured.zero(512, 5 * 2 ** 30);
  await structured.blockStatus(0, 2 ** 40);
  const two = 2 ** 31;
  assert.deepEqual(device.log, [
    `zero 512+${two}`,
    `zero ${512 + two}+${two}`,
    `zero ${512 + 2 * two}+${2 ** 30}`,
    `extents 0+${two}`,
  ]);
});

test("what no server should be asked is refused unasked, unless strict is false", async (context) => {
  const place = await served(context, new FakeDevice({ size: MIB, trim: false }));
  const client = await place.connect();
  const wrong = [
    () => client.read(1, 512),
    () => client.read(0, 511),
    () => client.read(MIB, 512),
    () => client.write(MIB - 512, new Uint8Array(1024)),
    () => client.zero(2 * MIB, 512),
    () => client.trim(0, 512),
    () => client.blockStatus(0, 0),
    () => client.readInto(-512, new Uint8Array(512)),
    () => client.read(Number.NaN, 512),
    () => client.read(0.5, 512),
    () => client.readSparse(0, 2 * MIB),
  ];
  for (const act of wrong) await assert.rejects(act(), { code: "bad-request" }, act.toString());
  assert.deepEqual(place.device.log, []);
  const frank = await place.connect({ strict: false });
  await assert.rejects(frank.read(1, 512), { code: "EINVAL" });
  await assert.rejects(frank.write(MIB, new Uint8Array(512)), { code: "ENOSPC" });
  await assert.rejects(frank.read(-1, 512), { code: "bad-request" });
});

test("a read-only export is told by its flags, and not written to", async (context) => {
  const place = await served(context, new FakeDevice({ size: MIB, readOnly: true }));
  const client = await place.connect();
  assert.deepEqual([client.readOnly, client.canFlush], [true, false]);
  await assert.rejects(client.write(0, new Uint8Array(512)), {
    code: "bad-request",
    message: "Cannot write 512 bytes at 0: the export is read-only, a writable one was wanted",
  });
  await assert.rejects(client.flush(), { code: "bad-request" });
});

test("a request without bytes does nothing", async (context) => {
  const place = await served(context);
  const client = await place.connect();
  assert.deepEqual(await client.read(0, 0), new Uint8Array(0));
  assert.deepEqual(await client.readSparse(0, 0), []);
  await client.write(0, new Uint8Array(0));
  await client.zero(0, 0);
  assert.deepEqual(place.device.log, []);
});

test("requests past the limits wait in the client, in order", async (context) => {
  const place = await served(context);
  const client = await place.connect({ maxRequests: 4, maxBytes: 8 * KIB });
  const { device } = place;
  device.held = true;
  const four = submitted(device, 4);
  const order: number[] = [];
  const reads = Array.from({ length: 10 }, (_, index) =>
    client.read(index * 512, 512).then(() => {
      order.push(index);
    }),
  );
  await four;
  assert.equal(device.pending.length, 4);
  device.held = false;
  device.answerAll();
  await Promise.all(reads);
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

  device.held = true;
  const two = submitted(device, 2);
  const large = Array.from({ length: 3 }, (_, index) => client.write(index * 4096, new Uint8Array(4096)));
  await two;
  assert.equal(device.pending.length, 2, "the third write is past the limit of bytes");
  const third = submitted(device, 1);
  device.held = false;
  device.answerAll();
  await third;
  await Promise.all(large);
  // One that is larger than the limit goes alone.
  await Promise.all([client.write(0, new Uint8Array(64 * KIB)), client.write(0, new Uint8Array(512))]);
  await client.close();
});

test("a sparse read gives data and holes as they came, views of one memory", async (context) => {
  const target = await scripted(context, (socket) => {
    haggleAsServer(
      socket,
      (option) =>
        option === OPTION.STRUCTURED_REPLY ? encodeOptionReply(option, OPTION_REPLY.ACK) : plainAnswers(option),
      (bytes) => {
        const cookie = bytes.subarray(8, 16);
        const head = (done: number, type: number, length: number) => {
          const header = Buffer.alloc(20);
          header.writeUInt32BE(0x668e33ef, 0);
          header.writeUInt16BE(done, 4);
          header.writeUInt16BE(type, 6);
          header.writeUInt32BE(length, 16);
          cookie.copy(header, 8);
          return header;
        };
        const at = (offset: number) => {
          const word = Buffer.alloc(8);
          word.writeUInt32BE(offset, 4);
          return word;
        };
        const length = Buffer.alloc(4);
        length.writeUInt32BE(2048);
        socket.write(
          Buffer.concat([head(0, 1, 8 + 2048), at(2048), Buffer.alloc(2048, 7), head(1, 2, 12), at(0), length]),
        );
      },
    );
  });
  const client = await NbdClient.connect(target);
  const runs = await client.readSparse(0, 4096);
  assert.deepEqual(runs, [
    { kind: "hole", offset: 0, length: 2048 },
    { kind: "data", offset: 2048, length: 2048, data: new Uint8Array(2048).fill(7) },
  ]);
  client.destroy();
});

test("a server without FUA or with blocks of one byte is taken as it is", async (context) => {
  const target = await scripted(context, (socket) => haggleAsServer(socket, plainAnswers));
  const client = await NbdClient.connect(target);
  assert.equal(client.minimumBlockSize, 1);
  await assert.rejects(client.write(3, new Uint8Array(5), { fua: true }), { code: "bad-request" });
  client.destroy();
});

test("an export that ends in the middle of a block is read to its end", async (context) => {
  const target = await scripted(context, (socket) => {
    haggleAsServer(
      socket,
      (option) =>
        option === OPTION.GO
          ? Buffer.concat([
              encodeInfo(option, { kind: "export", size: 1000, flags: FLAG.HAS_FLAGS }),
              encodeInfo(option, { kind: "blockSize", minimum: 512, preferred: 4096, maximum: MIB }),
              encodeOptionReply(option, OPTION_REPLY.ACK),
            ])
          : plainAnswers(option),
      (bytes) => socket.write(simpleReply(bytes, 0, new Uint8Array(488).fill(6))),
    );
  });
  const client = await NbdClient.connect(target);
  assert.deepEqual(await client.read(512, 488), new Uint8Array(488).fill(6));
  await assert.rejects(client.read(0, 488), { code: "bad-request" });
  client.destroy();
});

test("parts of a large request are whole blocks", () => {
  const agreement = { ...assumed("", "simple"), minimumBlockSize: 4096 };
  assert.equal(payloadLimit({ ...agreement, maximumPayload: 10_000 }), 8192);
  assert.equal(payloadLimit({ ...agreement, maximumPayload: 0xffff_ffff }), 32 * MIB);
});

test("resize asks for the size, and requests may use it from then on", async (context) => {
  const seen: number[] = [];
  const target = await scripted(context, (socket) => {
    haggleAsServer(
      socket,
      (option) =>
        option === OPTION.GO
          ? Buffer.concat([
              encodeInfo(option, { kind: "export", size: MIB, flags: FLAG.HAS_FLAGS | FLAG.RESIZE }),
              encodeOptionReply(option, OPTION_REPLY.ACK),
            ])
          : plainAnswers(option),
      (bytes) => {
        for (const { bytes: request, header } of requestsIn(bytes)) {
          seen.push(header.type, header.offset, header.length);
          socket.write(simpleReply(request, 0, new Uint8Array(header.length)));
        }
      },
    );
  });
  const client = await NbdClient.connect(target);
  await assert.rejects(client.read(MIB, 512), { code: "bad-request" });
  await client.resize(2 * MIB);
  assert.equal(client.size, 2 * MIB);
  await client.read(MIB, 512);
  assert.deepEqual(seen, [COMMAND.RESIZE, 2 * MIB, 0, COMMAND.READ, MIB, 512]);
  client.destroy();
});

test("close waits for the replies, refuses what comes after, and may be called twice", async (context) => {
  const place = await served(context);
  const client = await place.connect();
  place.device.held = true;
  const one = submitted(place.device, 1);
  const write = client.write(0, new Uint8Array(512).fill(3));
  const closing = client.close();
  await assert.rejects(client.read(0, 512), { code: "disconnected" });
  await one;
  place.device.held = false;
  place.device.answerAll();
  await write;
  await Promise.all([closing, client.close()]);
  assert.equal(place.device.content[0], 3);
});

test("a client that is disposed of is closed", async (context) => {
  const place = await served(context);
  let seen: NbdClient;
  {
    await using client = await NbdClient.connect(place.target);
    seen = client;
    await client.flush();
  }
  assert.equal(seen.connected, false);
});

test("destroy rejects what waits, in flight or not", async (context) => {
  const place = await served(context);
  const client = await place.connect({ maxRequests: 1 });
  place.device.held = true;
  const waiting = [client.read(0, 512), client.flush(), client.read(0, 512)];
  const rejected = Promise.all(waiting.map((promise) => assert.rejects(promise, { code: "disconnected" })));
  client.destroy();
  await rejected;
  await assert.rejects(client.flush(), { code: "disconnected" });
  await client.close();
});

/** A device that says it has a tebibyte, and holds nothing. */
function vastDevice(): FakeDevice {
  const device = new FakeDevice({ size: 0 });
  return Object.assign(device, { geometry: { ...device.geometry, size: 2 ** 40 } });
}
