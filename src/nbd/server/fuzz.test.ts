import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../shadow/testing.ts";
import { encodeClientFlags } from "../wire/greeting.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from "../wire/options.ts";
import { COMMAND, OPTION, REQUEST_MAGIC } from "../wire/protocol.ts";
import { Session } from "./session.ts";
import { FakeDevice, FakeTransport, feed, oneExport } from "./testing.ts";

const RUNS = 1000;
const NONE = new Uint8Array(0);
const SIZE = 1 << 16;

const start = Buffer.from(encodeClientFlags({ fixedNewstyle: true, noZeroes: true }));

const option = fc
  .tuple(
    fc.oneof(fc.constantFrom(...Object.values(OPTION)), fc.nat(20)),
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom(
        NONE,
        Buffer.from("disk"),
        encodeInfoRequest({ name: "disk", wanted: [1, 2, 3] }),
        encodeMetaContextRequest({ name: "disk", queries: ["base:allocation"] }),
      ),
    ),
  )
  .map(([number, data]) => Buffer.from(encodeOption(number, data)));

const go = Buffer.concat([
  start,
  encodeOption(OPTION.STRUCTURED_REPLY, NONE),
  encodeOption(OPTION.SET_META_CONTEXT, encodeMetaContextRequest({ name: "disk", queries: ["base:allocation"] })),
  encodeOption(OPTION.GO, encodeInfoRequest({ name: "disk", wanted: [] })),
]);

interface FuzzedCommand {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

const blocks = (most: number) => fc.nat(most).map((count) => count * 512);
const command: fc.Arbitrary<FuzzedCommand> = fc.record({
  type: fc.oneof(
    fc.constantFrom(...Object.values(COMMAND).filter((type) => type !== COMMAND.DISC)),
    fc.integer({ min: 9, max: 0xffff }),
  ),
  flags: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(0x3f) }),
  offset: fc.oneof({ weight: 4, arbitrary: blocks(140) }, { weight: 1, arbitrary: fc.nat() }),
  length: fc.oneof({ weight: 4, arbitrary: blocks(40) }, { weight: 1, arbitrary: fc.nat(20_000) }),
});

function encode({ type, flags, offset, length }: FuzzedCommand, cookie: number): Buffer {
  const bytes = Buffer.alloc(28 + (type === COMMAND.WRITE ? length : 0), 0x5a);
  bytes.writeUInt32BE(REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeUInt32BE(0, 8);
  bytes.writeUInt32BE(cookie, 12);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

/** The cookies of the replies that ended, in a conversation with structured replies. */
function answeredCookies(bytes: Buffer): number[] {
  const cookies: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.readUInt32BE(at) === 0x67446698) {
      cookies.push(bytes.readUInt32BE(at + 12));
      at += 16;
    } else {
      assert.equal(bytes.readUInt32BE(at), 0x668e33ef);
      if ((bytes.readUInt16BE(at + 4) & 1) !== 0) cookies.push(bytes.readUInt32BE(at + 12));
      at += 20 + bytes.readUInt32BE(at + 16);
    }
  }
  return cookies;
}

function world(depth: number) {
  const device = new FakeDevice({ size: SIZE });
  device.depth = depth;
  const transport = new FakeTransport();
  const clock = new ManualClock();
  const session = new Session({ transport, exports: oneExport(device), clock, limits: { inFlightRequests: 3 } });
  return { device, transport, clock, session };
}

function leavesNothing({ device, session, clock }: ReturnType<typeof world>): void {
  session.closed();
  device.answerAll();
  device.makeRoom();
  assert.equal(device.admitted, 0);
  assert.equal(device.reads.usedBytes + device.writes.usedBytes + clock.timers, 0);
}

test("no bytes make a session throw or keep memory", () => {
  const noise = fc.array(fc.oneof(fc.uint8Array({ maxLength: 60 }), option, fc.constant(start), fc.constant(go)), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(noise, fc.integer({ min: 1, max: 50 }), (pieces, step) => {
      const it = world(8);
      feed(it.session, it.transport, Buffer.concat(pieces), step);
      leavesNothing(it);
    }),
    { numRuns: RUNS },
  );
});

test("options of all kinds, well formed or not, are each answered or end the connection", () => {
  fc.assert(
    fc.property(fc.array(option, { maxLength: 34 }), fc.integer({ min: 1, max: 50 }), (options, step) => {
      const it = world(8);
      feed(it.session, it.transport, Buffer.concat([start, ...options]), step);
      leavesNothing(it);
    }),
    { numRuns: RUNS },
  );
});

test("each command gets exactly one reply, however it is malformed, split, delayed and throttled", () => {
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 20 }),
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 1, max: 4 }),
      fc.boolean(),
      (commands, step, depth, held) => {
        const it = world(depth);
        const { session, transport, device, clock } = it;
        feed(session, transport, go);
        transport.take();
        device.held = held;
        const bytes = Buffer.concat(commands.map(encode));
        for (let at = 0, rounds = 0; at < bytes.length || device.admitted > 0 || transport.paused; rounds++) {
          assert(rounds < 1000, "no progress");
          at += feed(session, transport, bytes.subarray(at), step);
          const request = device.pending.shift();
          if (request !== undefined) device.answer(request);
          device.makeRoom();
          clock.advance(0);
        }
        assert.equal(transport.state, "open");
        const cookies = answeredCookies(transport.take()).sort((a, b) => a - b);
        assert.deepEqual(
          cookies,
          commands.map((_, index) => index),
        );
        leavesNothing(it);
      },
    ),
    { numRuns: RUNS },
  );
});

test("a connection that dies anywhere gives everything back", () => {
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 10 }),
      fc.nat(20_000),
      fc.integer({ min: 1, max: 4 }),
      (commands, cut, depth) => {
        const it = world(depth);
        it.device.held = true;
        const bytes = Buffer.concat([go, ...commands.map(encode)]);
        feed(it.session, it.transport, bytes.subarray(0, cut % (bytes.length + 1)));
        leavesNothing(it);
      },
    ),
    { numRuns: RUNS },
  );
});
