import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { Bench } from "../../shadow/testing.ts";
import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import { FakeDevice } from "./testing.ts";
import { chosen, clientOf, command, errorOf, parseReplies, read, write } from "./testing-client.ts";

const { FUA, NO_HOLE, FAST_ZERO } = COMMAND_FLAG;

test("rule 23: a flush covers what was replied to on another connection, over a restart too", () => {
  const bench = new Bench();
  const { device } = bench;
  const writer = clientOf(device);
  const flusher = clientOf(device);
  writer.say(write(512, new Uint8Array(512).fill(7)));
  bench.link.complete("write");
  assert.equal(errorOf({ replies: parseReplies(writer.transport.take()) }), 0);
  const link = bench.restart();
  flusher.say(command(COMMAND.FLUSH, 0, 0));
  assert.deepEqual(link.summary, ["write 512"]);
  link.complete("write");
  assert.deepEqual(link.summary, ["flush"]);
  assert.equal(flusher.transport.take().length, 0);
  link.complete("flush");
  assert.equal(errorOf({ replies: parseReplies(flusher.transport.take()) }), 0);
});

test("rule 24: FUA is answered when it is durable: by the driver, or by a flush behind it", () => {
  for (const fua of [true, false]) {
    const bench = new Bench({ geometry: { fua } });
    const { say, transport } = clientOf(bench.device);
    for (const [request, operation] of [
      [write(0, new Uint8Array(512), FUA), "write"],
      [command(COMMAND.TRIM, 0, 512, FUA), "trim"],
    ] as const) {
      say(request);
      bench.link.complete(operation);
      if (!fua || operation === "trim") {
        assert.equal(transport.take().length, 0);
        bench.link.complete("flush");
      }
      assert.equal(errorOf({ replies: parseReplies(transport.take()) }), 0);
    }
  }
});

test("rule 24: DISC finishes what is outstanding, has no reply, and closes", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say, transport } = chosen({ device });
  say(Buffer.concat([write(0, new Uint8Array(512)), command(COMMAND.DISC, 0, 0), read(0, 512)]));
  assert.equal(transport.state, "open");
  device.answerAll();
  assert.equal(transport.state, "ended");
  assert.equal(parseReplies(transport.take()).length, 1);
  assert.deepEqual(device.log, ["write 0+512"]);
});

test("rule 25: NO_HOLE, FAST_ZERO and FUA of a zero reach the device", () => {
  const device = new FakeDevice();
  device.held = true;
  const { say } = chosen({ device });
  say(command(COMMAND.WRITE_ZEROES, 0, 512, FUA | NO_HOLE));
  say(command(COMMAND.WRITE_ZEROES, 0, 512, FAST_ZERO));
  const flags = device.pending.map(({ fua, mayTrim, fast }) => ({ fua, mayTrim, fast }));
  assert.deepEqual(flags, [
    { fua: true, mayTrim: false, fast: false },
    { fua: false, mayTrim: true, fast: true },
  ]);
});

test("rule 25: a zero that would not be fast is ENOTSUP at once, and does nothing", () => {
  const bench = new Bench({ geometry: { zero: false } });
  const { say } = clientOf(bench.device);
  for (const flags of [FAST_ZERO, FAST_ZERO | NO_HOLE])
    assert.equal(errorOf(say(command(COMMAND.WRITE_ZEROES, 0, 512, flags))), ERRNO.ENOTSUP);
  assert.deepEqual(bench.link.summary, []);
});
