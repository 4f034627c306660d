import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { FakeDevice } from "../server/testing.ts";
import { KIB, MIB, served } from "./testing.ts";

test("chunks give a range in order, reading ahead to a bounded depth", async (context) => {
  const place = await served(context, new FakeDevice({ size: MIB }));
  const client = await place.connect();
  place.device.content.forEach((_, index, content) => {
    content[index] = (index * 7) % 251;
  });
  const chunks: Buffer[] = [];
  let seen = 0;
  for await (const chunk of client.chunks(512, MIB - 512, { chunkBytes: 64 * KIB, depth: 3 })) {
    chunks.push(chunk);
    seen++;
    assert(place.device.log.length <= seen + 3, `${place.device.log.length} reads for ${seen} chunks`);
  }
  assert.equal(Buffer.compare(Buffer.concat(chunks), place.device.content.subarray(512)), 0);
  await client.close();
});

test("whoever stops taking chunks early, or at an error, leaves nothing behind", async (context) => {
  const place = await served(context, new FakeDevice({ size: MIB }));
  const client = await place.connect();
  for await (const _ of client.chunks(0, MIB, { chunkBytes: 4 * KIB })) break;
  place.device.errno = 5;
  await assert.rejects(client.chunks(0, MIB, { chunkBytes: 64 * KIB }).next(), { code: "EIO" });
  place.device.errno = 0;
  const abort = new AbortController();
  abort.abort();
  await assert.rejects(client.chunks(0, MIB, { signal: abort.signal }).next(), { name: "AbortError" });
  await assert.rejects(client.chunks(0, MIB, { chunkBytes: 0 }).next(), RangeError);
  await assert.rejects(client.chunks(2 * MIB).next(), { code: "bad-request" });
  await assert.rejects(client.extents(512, MIB).next(), { code: "bad-request" });
  await client.close();
});

test("chunks are a source for Node's streams, and a stream is one for writeFrom", async (context) => {
  const place = await served(context, new FakeDevice({ size: MIB }));
  const client = await place.connect();
  const data = Buffer.alloc(512 * KIB, "stream");
  assert.equal(await client.writeFrom(Readable.from([data.subarray(0, 7), data.subarray(7)]), 1024), data.length);
  const received: Buffer[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      received.push(chunk);
      done();
    },
  });
  await pipeline(client.chunks(1024, data.length), sink);
  assert.equal(Buffer.compare(Buffer.concat(received), data), 0);
  await client.close();
});

test("writeFrom gathers pieces of any length, and lets them go at once", async (context) => {
  const place = await served(context, new FakeDevice({ size: MIB }));
  const client = await place.connect();
  const shared = new Uint8Array(100);
  const expected: number[] = [];
  function* pieces() {
    for (let index = 0; index < 1024; index++) {
      shared.fill(index % 256);
      expected.push(...shared);
      yield shared;
    }
  }
  assert.equal(await client.writeFrom(pieces(), 0, { chunkBytes: 16 * KIB, depth: 2 }), 102_400);
  assert.deepEqual(await client.read(0, 102_400), new Uint8Array(expected));
  assert(place.device.log.filter((line) => line.startsWith("write")).length <= 7);
  await client.close();
});

test("writeFrom ends at the first failure: of a write, of its source, of the whole's length", async (context) => {
  const place = await served(context, new FakeDevice({ size: MIB }));
  const client = await place.connect();
  let taken = 0;
  function* endless() {
    for (;;) {
      taken++;
      yield new Uint8Array(4 * KIB);
    }
  }
  place.device.errno = 28;
  await assert.rejects(client.writeFrom(endless(), 0, { chunkBytes: 4 * KIB }), { code: "ENOSPC" });
  assert(taken < 16, `${taken} pieces were taken`);
  place.device.errno = 0;
  async function* broken() {
    yield new Uint8Array(4 * KIB);
    throw new Error("no more");
  }
  await assert.rejects(client.writeFrom(broken(), 0), { message: "no more" });
  await assert.rejects(client.writeFrom([new Uint8Array(100)], 0), { code: "bad-request" });
  assert.equal(place.device.writes.usedBytes, 0);
  await client.close();
});

test("extents of a range are merged, asked for to its end, and cut there", async (context) => {
  const place = await served(context, new FakeDevice({ size: MIB }));
  const client = await place.connect();
  const data = { hole: false, zero: false };
  const hole = { hole: true, zero: true };
  place.device.extents = [
    { length: 512, ...data },
    { length: 512, ...data },
    { length: 1024, ...hole },
  ];
  const extents = [];
  // The device gives the same answer whatever it is asked of.
  for await (const extent of client.extents(0, 3 * 1024 + 512)) extents.push(extent);
  assert.deepEqual(extents, [
    { offset: 0, length: 1024, ...data },
    { offset: 1024, length: 1024, ...hole },
    { offset: 2048, length: 1024, ...data },
    { offset: 3072, length: 512, ...hole },
  ]);
  const simple = await place.connect({ replies: "simple" });
  const untold = [];
  for await (const extent of simple.extents()) untold.push(extent);
  assert.deepEqual(untold, [{ offset: 0, length: MIB, ...data }]);
  await assert.rejects(simple.blockStatus(0, 512), { code: "bad-request" });
  await Promise.all([client.close(), simple.close()]);
});
