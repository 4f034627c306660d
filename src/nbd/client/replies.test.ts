import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SkinkError } from "../../block/errors.ts";
import type { Extent } from "../../block/request.ts";
import { CHUNK, COMMAND } from "../wire/protocol.ts";
import {
  type ChunkLayout,
  DATA_HEAD_BYTES,
  ERROR_BODY_BYTES,
  EXTENDED,
  encodeDataChunk,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeNoneChunk,
  encodeSimpleReply,
  encodeStatusChunk,
  HOLE_BODY_BYTES,
  STRUCTURED,
} from "../wire/replies.ts";
import { viewOf } from "../wire/view.ts";
import type { Exchange, MetaExtent } from "./exchange.ts";
import { type ReplyFormat, ReplyParser } from "./replies.ts";

const ALLOCATION = 1;
const BITMAP = 2;
const CONTEXTS = new Map([
  [ALLOCATION, "base:allocation"],
  [BITMAP, "qemu:dirty-bitmap:x"],
]);
const OFFSET = 512;
const SIMPLE: ReplyFormat = { structured: false, extended: false, allocationId: undefined, contexts: new Map() };
const agreed = ({ extended }: ChunkLayout): ReplyFormat => ({
  structured: true,
  extended,
  allocationId: ALLOCATION,
  contexts: CONTEXTS,
});

const to = (number: number, offsetLow = OFFSET) => ({ cookieHigh: 0, cookieLow: number, offsetHigh: 0, offsetLow });

function encoded(length: number, encode: (view: DataView) => void): Buffer {
  const bytes = Buffer.alloc(length);
  encode(viewOf(bytes));
  return bytes;
}
const simple = (number: number, error: number) => encoded(16, (view) => encodeSimpleReply(view, to(number), error));

/** What a server says, for each of the two headers that chunks have. */
function vocabulary(layout: ChunkLayout) {
  const { headerBytes } = layout;
  return {
    none: (number: number) => encoded(headerBytes, (view) => encodeNoneChunk(view, layout, to(number))),
    failed: (number: number, error: number) =>
      encoded(headerBytes + ERROR_BODY_BYTES, (view) => encodeErrorChunk(view, layout, to(number), error)),
    hole: (number: number, done: boolean, offset: number, length: number) =>
      encoded(headerBytes + HOLE_BODY_BYTES, (view) => encodeHoleChunk(view, layout, to(number), done, offset, length)),
    data: (number: number, done: boolean, offset: number, bytes: Uint8Array) => {
      const head = encoded(headerBytes + DATA_HEAD_BYTES, (view) =>
        encodeDataChunk(view, layout, to(number), done, offset, bytes.length),
      );
      return Buffer.concat([head, bytes]);
    },
    status: (number: number, context: number, extents: readonly Extent[], done = true) => {
      const bytes = encodeStatusChunk(layout, to(number), context, extents, false);
      // Only the last chunk of a reply ends it; there is one a context.
      if (!done) viewOf(bytes).setUint16(4, 0);
      return bytes;
    },
  };
}

/** A client that waits for: 1, a read of 1024 bytes at 512; 2, a block status; 3, a write; 4, the status of all contexts. */
function client(format: ReplyFormat, sparse = false, length = 1024) {
  const into = new Uint8Array(length).fill(0xee);
  const extents: Extent[] = [];
  const contexts = new Map([...CONTEXTS.values()].map((name): [string, MetaExtent[]] => [name, []]));
  const exchange = (type: number, more: Partial<Exchange>): Exchange => ({
    type,
    flags: 0,
    offset: OFFSET,
    length: 1024,
    data: undefined,
    into: undefined,
    extents: undefined,
    runs: undefined,
    sparse: false,
    covered: 0,
    error: 0,
    ...more,
  });
  const read = exchange(COMMAND.READ, { into, length, sparse });
  const waiting = new Map([
    [1, read],
    [2, exchange(COMMAND.BLOCK_STATUS, { extents })],
    [3, exchange(COMMAND.WRITE, {})],
    [4, exchange(COMMAND.BLOCK_STATUS, { contexts })],
  ]);
  const settled: string[] = [];
  const parser = new ReplyParser(
    {
      find: (number) => waiting.get(number),
      settled: (number, _exchange, error) => {
        assert(waiting.delete(number), "a request was settled twice");
        settled.push(`${number}:${error}`);
      },
    },
    format,
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
  return { hear, settled, into, extents, contexts, read };
}

test("simple replies bring errors and data, wherever the bytes are split", () => {
  const bytes = Buffer.concat([simple(3, 28), simple(1, 0), new Uint8Array(1024).fill(5), simple(2, 22)]);
  for (let step = 1; step <= bytes.length; step++) {
    const { hear, settled, into } = client(SIMPLE);
    hear(bytes, step);
    assert.deepEqual(settled, ["3:28", "1:0", "2:22"]);
    assert(into.every((byte) => byte === 5));
  }
});

for (const [name, layout] of [
  ["structured", STRUCTURED],
  ["extended", EXTENDED],
] as const) {
  const { none, failed, hole, data, status } = vocabulary(layout);
  const format = agreed(layout);
  const half = new Uint8Array(512).fill(5);

  test(`${name}: a read in chunks of any order is put together, wherever the bytes are split`, () => {
    const bytes = Buffer.concat([
      data(1, false, 1024, half),
      status(2, ALLOCATION, [{ length: 512, hole: true, zero: false }]),
      failed(3, 28),
      hole(1, true, 512, 512),
    ]);
    for (let step = 1; step < bytes.length; step++) {
      const { hear, settled, into, extents } = client(format);
      hear(bytes, step);
      assert.deepEqual(settled, ["2:0", "3:28", "1:0"]);
      assert(into.every((byte, index) => byte === (index < 512 ? 0 : 5)));
      assert.deepEqual(extents, [{ length: 512, hole: true, zero: false }]);
    }
  });

  test(`${name}: a sparse read has the runs in order, and leaves the memory of holes alone`, () => {
    const { hear, settled, into, read } = client(format, true);
    hear(Buffer.concat([data(1, false, 1024, half), hole(1, true, 512, 512)]));
    assert.deepEqual(settled, ["1:0"]);
    assert.deepEqual(read.runs, [
      { start: 0, length: 512, hole: true },
      { start: 512, length: 512, hole: false },
    ]);
    assert(into.every((byte, index) => byte === (index < 512 ? 0xee : 5)));
    const whole = client(format, true);
    whole.hear(data(1, true, 512, new Uint8Array(1024)));
    assert.deepEqual(whole.read.runs, [{ start: 0, length: 1024, hole: false }]);
  });

  test(`${name}: the status of several contexts is kept apart by their names`, () => {
    const { hear, settled, contexts } = client(format);
    hear(
      Buffer.concat([
        status(4, BITMAP, [{ length: 1024, hole: true, zero: false }], false),
        status(4, ALLOCATION, [{ length: 512, hole: true, zero: true }]),
      ]),
    );
    assert.deepEqual(settled, ["4:0"]);
    assert.deepEqual(contexts.get("qemu:dirty-bitmap:x"), [{ length: 1024, flags: 1 }]);
    assert.deepEqual(contexts.get("base:allocation"), [{ length: 512, flags: 3 }]);
  });

  test(`${name}: an error chunk fails the request when its reply is complete`, () => {
    const { hear, settled } = client(format);
    hear(data(1, false, 512, half));
    assert.deepEqual(settled, []);
    hear(failed(1, 5));
    assert.deepEqual(settled, ["1:5"]);
  });

  test(`${name}: what breaks the rules is a bad server`, () => {
    const extent = { length: 1, hole: false, zero: false };
    const unknownType = none(3);
    viewOf(unknownType).setUint16(6, 0x7777);
    const cases: [string, Uint8Array][] = [
      ["magic", new Uint8Array(40)],
      ["unknown cookie", failed(9, 5)],
      ["unknown chunk", unknownType],
      ["data before the range", data(1, true, 0, half)],
      ["data past the range", data(1, true, 1024, new Uint8Array(1024))],
      ["data without bytes", data(1, true, 512, new Uint8Array(0))],
      ["more data than asked for", Buffer.concat([hole(1, false, 512, 1024), hole(1, true, 512, 512)])],
      [
        "chunks that overlap",
        Buffer.concat([hole(1, false, 512, 512), hole(1, false, 768, 256), hole(1, true, 1280, 256)]),
      ],
      [
        "chunks that overlap, out of order",
        Buffer.concat([data(1, false, 1024, half), data(1, true, 768, new Uint8Array(512))]),
      ],
      ["a gap", hole(1, true, 512, 512)],
      ["no data", none(1)],
      ["data for a write", data(3, true, 512, half)],
      ["a status without extents", status(2, ALLOCATION, [])],
      ["no status", none(2)],
      ["an empty extent", emptyExtent(status(2, ALLOCATION, [extent]), layout)],
      ["a status of another context alone", status(2, BITMAP, [extent])],
      ["a status of a context that nobody selected", status(2, 7, [extent])],
      ["a status of one context of two", status(4, BITMAP, [extent])],
      [
        "a status of one context twice",
        Buffer.concat([status(4, BITMAP, [extent], false), status(4, BITMAP, [extent])]),
      ],
      ["extents for a read", status(1, ALLOCATION, [extent])],
      ["a simple reply to a status", simple(2, 0)],
      ["a simple reply to a read", Buffer.concat([simple(1, 0), new Uint8Array(1024)])],
      ["an error of none", failed(1, 0)],
    ];
    for (const [what, bytes] of cases) assert.throws(() => client(format).hear(bytes), { code: "bad-server" }, what);
  });

  test(`${name}: no bytes make the parser throw anything else, or settle a request twice`, () => {
    const number = fc.integer({ min: 1, max: 4 });
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.tuple(number, fc.nat(4)).map(([which, error]) => simple(which, error)),
      fc.tuple(number, fc.nat(4)).map(([which, error]) => failed(which, error)),
      number.map((which) => none(which)),
      fc
        .tuple(number, fc.boolean(), fc.nat(3), fc.nat(3))
        .map(([which, done, at, length]) => data(which, done, at * 512, new Uint8Array(length * 512))),
      fc
        .tuple(number, fc.boolean(), fc.nat(3), fc.nat(3))
        .map(([which, done, at, length]) => hole(which, done, at * 512, length * 512)),
      fc
        .tuple(number, fc.boolean(), fc.integer({ min: 1, max: 3 }), fc.nat(3))
        .map(([which, done, context, length]) =>
          status(which, context, [{ length: length * 512, hole: false, zero: true }], done),
        ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.integer({ min: 1, max: 600 }), (pieces, step) => {
        try {
          client(format).hear(Buffer.concat(pieces), step);
        } catch (error) {
          assert(error instanceof SkinkError && error.code === "bad-server", String(error));
        }
      }),
      { numRuns: 700 },
    );
  });
}

test("extended: lengths past 4 GiB come whole, and the header has to echo the request's offset", () => {
  const { status, none } = vocabulary(EXTENDED);
  const { hear, extents } = client(agreed(EXTENDED));
  hear(status(2, ALLOCATION, [{ length: 2 ** 40 + 512, hole: true, zero: true }]));
  assert.deepEqual(extents, [{ length: 2 ** 40 + 512, hole: true, zero: true }]);

  const astray = none(3);
  viewOf(astray).setUint32(20, OFFSET + 1);
  assert.throws(() => client(agreed(EXTENDED)).hear(astray), { code: "bad-server" });
});

test("a server keeps to the format that was agreed on", () => {
  const structured = vocabulary(STRUCTURED);
  const extended = vocabulary(EXTENDED);
  const cases: [string, ReplyFormat, Uint8Array][] = [
    ["structured, where simple was agreed on", SIMPLE, structured.none(3)],
    ["extended, where simple was agreed on", SIMPLE, extended.none(3)],
    ["extended, where structured was agreed on", agreed(STRUCTURED), extended.none(3)],
    [
      "structured, where extended was agreed on",
      agreed(EXTENDED),
      Buffer.concat([structured.none(3), Buffer.alloc(20)]),
    ],
    ["simple, where extended was agreed on", agreed(EXTENDED), Buffer.concat([simple(3, 0), Buffer.alloc(20)])],
  ];
  for (const [what, format, bytes] of cases)
    assert.throws(() => client(format).hear(bytes), { code: "bad-server" }, what);
});

test("a chunk that claims to be longer than anything is refused before it comes", () => {
  for (const layout of [STRUCTURED, EXTENDED]) {
    const huge = vocabulary(layout).failed(3, 5);
    viewOf(huge).setUint16(6, CHUNK.ERROR);
    viewOf(huge).setUint32(layout.headerBytes - 4, 0x7fff_ffff);
    assert.throws(() => client(agreed(layout)).hear(huge), { code: "bad-server" });
  }
});

test("a read that comes byte by byte is cut off before its list of runs grows without bound", () => {
  const { hole } = vocabulary(STRUCTURED);
  const { hear } = client(agreed(STRUCTURED), false, 2 << 20);
  const many = Buffer.concat(Array.from({ length: 1 << 10 }, () => hole(1, false, OFFSET, 1)));
  for (let heard = 0; heard < 1 << 20; heard += 1 << 10) hear(many);
  assert.throws(() => hear(many), { code: "bad-server", message: /more than 1048576 chunks/ });
});

/** The status with its only extent made empty. */
function emptyExtent(status: Uint8Array, { headerBytes, extended }: ChunkLayout): Uint8Array {
  viewOf(status).setUint32(headerBytes + (extended ? 12 : 4), 0);
  return status;
}
