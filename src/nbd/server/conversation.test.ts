import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ManualClock } from "../../shadow/testing.ts";
import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import { encodeStatusQuery } from "../wire/requests.ts";
import { Session } from "./session.ts";
import { FakeDevice, FakeTransport, feed, oneExport } from "./testing.ts";
import { command, extended, handshake, parseReplies, read, withPayload, write } from "./testing-client.ts";

const { FUA } = COMMAND_FLAG;
const KIB = 1024;
const DATA = new Uint8Array(1024).map((_, index) => index % 255);

/** A talk of each dialect: how the client begins it, and what it says then. */
const TALKS = [
  {
    replies: "structured",
    requests: () => [
      write(512, DATA, FUA),
      read(0, 2048),
      command(COMMAND.BLOCK_STATUS, 0, 4096),
      write(512, new Uint8Array(700)),
      command(COMMAND.FLUSH, 0, 0),
      command(99, 0, 0),
      command(COMMAND.DISC, 0, 0),
    ],
  },
  {
    replies: "extended",
    requests: () => [
      withPayload(COMMAND.WRITE, 512, DATA, FUA),
      extended(COMMAND.READ, 0, 2048),
      withPayload(COMMAND.BLOCK_STATUS, 0, encodeStatusQuery({ length: 4096, contexts: [1] })),
      withPayload(COMMAND.WRITE, 512, new Uint8Array(700)),
      withPayload(COMMAND.FLUSH, 0, new Uint8Array(5)),
      withPayload(99, 0, new Uint8Array(40)),
      extended(COMMAND.DISC, 0, 0),
    ],
  },
] as const;

function open() {
  const device = new FakeDevice({ size: 64 * KIB });
  const transport = new FakeTransport();
  const clock = new ManualClock();
  const session = new Session({ transport, exports: oneExport(device), clock });
  return { device, transport, clock, session };
}

/** Says the talk in pieces that end at each of `splits`, and tells what was replied, in the order of the requests. */
function heard(talk: Buffer, greetingBytes: number, splits: readonly number[]): string {
  const { session, transport } = open();
  let from = 0;
  for (const to of [...splits, talk.length]) {
    feed(session, transport, talk.subarray(from, to));
    from = to;
  }
  assert.equal(transport.state, "ended");
  // What is answered without the device overtakes the rest of its batch, so the order is left out.
  const said = transport.take();
  const answers = parseReplies(said.subarray(greetingBytes)).sort((a, b) => a.cookie - b.cookie);
  const bodies = answers.map(
    ({ cookie, type, error, body }) => `${cookie} ${type} ${error} ${body.toString("base64")}`,
  );
  return createHash("sha256").update(said.subarray(0, greetingBytes)).update(bodies.join("\n")).digest("hex");
}

for (const { replies, requests } of TALKS) {
  test(`a conversation gets the same replies wherever its bytes are split, with ${replies} replies`, () => {
    const { session, transport } = open();
    feed(session, transport, handshake(replies));
    const greetingBytes = transport.take().length;
    const talk = Buffer.concat([handshake(replies), ...requests()]);
    const whole = heard(talk, greetingBytes, []);
    for (let split = 1; split < talk.length; split++)
      assert.equal(heard(talk, greetingBytes, [split]), whole, `split at ${split}`);
    const bytewise = Array.from({ length: talk.length }, (_, index) => index);
    assert.equal(heard(talk, greetingBytes, bytewise), whole);
  });

  test(`a connection may close at every byte of a conversation, with ${replies} replies`, () => {
    const talk = Buffer.concat([handshake(replies), ...requests()]);
    for (let length = 0; length <= talk.length; length++) {
      const { device, transport, clock, session } = open();
      feed(session, transport, talk.subarray(0, length));
      session.closed();
      assert.equal(device.admitted + device.reads.usedBytes + device.writes.usedBytes + clock.timers, 0);
    }
  });
}
