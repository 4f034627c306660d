import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SkinkError } from "../../block/errors.ts";
import type { Extent } from "../../block/request.ts";
import {
  encodeDataChunk,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeNoneChunk,
  encodeSimpleReply,
  encodeStatusChunk,
} from "../wire/replies.ts";
import { viewOf } from "../wire/view.ts";
import { type Pending, ReplyParser } from "./replies.ts";

const CONTEXT = 1;
const cookie = (number: number) => ({ cookieHigh: 0, cookieLow: number });

function encoded(length: number, encode: (view: DataView) => void): Buffer {
  const bytes = Buffer.alloc(length);
  encode(viewOf(bytes));
  return bytes;
}
const simple = (number: number, error: number) => encoded(16, (view) => encodeSimpleReply(view, cookie(number), error));
const none = (number: number) => encoded(20, (view) => encodeNoneChunk(view, cookie(number)));
const failed = (number: number, error: number) => encoded(26, (view) => encodeErrorChunk(view, cookie(number), error));
const hole = (number: number, done: boolean, offset: number, length: number) =>
  encoded(32, (view) => encodeHoleChunk(view, cookie(number), done, offset, length));
const data = (number: number, done: boolean, offset: number, bytes: Uint8Array) =>
  Buffer.concat([encoded(28, (view) => encodeDataChunk(view, cookie(number), done, offset, bytes.length)), bytes]);

/** A client that waits for: 1, a read of 1024 bytes at 512; 2, a block status; 3, a write. */
function client() {
  const into = new Uint8Array(1024).fill(0xee);
  const extents: Extent[] = [];
  const pending = (action: string, more: Partial<Pending>): Pending => ({
    action,
    offset: 512,
    length: 1024,
    into: undefined,
    extents: undefined,
    covered: 0,
    error: 0,
    ...more,
  });
  const waiting = new Map([
    [1, pending("read", { into })],
    [2, pending("status", { extents })],
    [3, pending("write", {})],
  ]);
  const settled: string[] = [];
  const parser = new ReplyParser(
    {
      find: (number) => waiting.get(number),
      settled: (number, _pending, error) => {
        assert(waiting.delete(number), "a request was settled twice");
        settled.push(`${number}:${error}`);
      },
    },
    CONTEXT,
  );
  const hear = (bytes: Uint8Array, step = bytes.length) => {
    for (let at = 0; at < bytes.length; ) {
      const room = parser.receiveBuffer();
      const count = Math.min(step, room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      parser.received(count);
      at += count;
    }
  };
  return { hear, settled, into, extents };
}

test("a read in chunks of any order is put together, wherever the bytes are split", () => {
  const bytes = Buffer.concat([
    data(1, false, 1024, new Uint8Array(512).fill(5)),
    encodeStatusChunk(cookie(2), CONTEXT, [{ length: 512, hole: true, zero: false }], false),
    simple(3, 28),
    hole(1, true, 512, 512),
  ]);
  for (let step = 1; step < bytes.length; step++) {
    const { hear, settled, into, extents } = client();
    hear(bytes, step);
    assert.deepEqual(settled, ["2:0", "3:28", "1:0"]);
    assert(into.every((byte, index) => byte === (index < 512 ? 0 : 5)));
    assert.deepEqual(extents, [{ length: 512, hole: true, zero: false }]);
  }
});

test("an error chunk fails the request when its reply is complete", () => {
  const { hear, settled } = client();
  hear(data(1, false, 512, new Uint8Array(512)));
  assert.deepEqual(settled, []);
  hear(failed(1, 5));
  assert.deepEqual(settled, ["1:5"]);
});

test("what breaks the rules is a bad server", () => {
  const empty = encodeStatusChunk(cookie(2), CONTEXT, [], false);
  const cases: [string, Uint8Array][] = [
    ["magic", new Uint8Array(20)],
    ["unknown cookie", simple(9, 0)],
    ["data before the range", data(1, true, 0, new Uint8Array(512))],
    ["data past the range", data(1, true, 1024, new Uint8Array(1024))],
    ["more data than asked for", Buffer.concat([hole(1, false, 512, 1024), hole(1, true, 512, 512)])],
    ["a gap", hole(1, true, 512, 512)],
    ["no data", none(1)],
    ["data for a write", data(3, true, 512, new Uint8Array(512))],
    ["a status without extents", empty],
    [
      "a status of another context alone",
      encodeStatusChunk(cookie(2), 7, [{ length: 1, hole: false, zero: false }], false),
    ],
    ["extents for a read", encodeStatusChunk(cookie(1), CONTEXT, [{ length: 1, hole: false, zero: false }], false)],
    ["a simple reply to a status", simple(2, 0)],
    ["an error of none", failed(1, 0)],
  ];
  for (const [name, bytes] of cases) assert.throws(() => client().hear(bytes), { code: "bad-server" }, name);
});

test("no bytes make the parser throw anything else, or settle a request twice", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(4)).map(([number, error]) => simple(number, error)),
    fc
      .tuple(fc.integer({ min: 1, max: 3 }), fc.boolean(), fc.nat(3), fc.nat(3))
      .map(([number, done, at, length]) => data(number, done, at * 512, new Uint8Array(length * 512))),
    fc
      .tuple(fc.integer({ min: 1, max: 3 }), fc.boolean(), fc.nat(3), fc.nat(3))
      .map(([number, done, at, length]) => hole(number, done, at * 512, length * 512)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), fc.integer({ min: 1, max: 600 }), (pieces, step) => {
      try {
        client().hear(Buffer.concat(pieces), step);
      } catch (error) {
        assert(error instanceof SkinkError && error.code === "bad-server", String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
