import assert from "node:assert/strict";
import { test } from "node:test";
import { casesOf, PROPERTIES, tryCases } from "./properties.ts";
import { counted, recordings } from "./recordings.ts";
import { parseReplies } from "./server-stream.ts";
import { converse, type Surroundings } from "./world.ts";

/** As many as take a few seconds. `npm run fuzz` tries as many as are wanted, with these very properties. */
const CASES = 12_000;
/** The same cases each time: a change is to blame for a failure, not chance. */
const SEED = 20_260_101;

/** Everything comes at once, and is answered at once. */
const WHOLE: Surroundings = {
  pieces: [1 << 20],
  depth: 256,
  prompt: true,
  reads: true,
  tls: "off",
  limits: { inFlightRequests: 256, inFlightBytes: 1 << 20 },
  choices: [0],
};

for (const property of PROPERTIES) {
  const cases = casesOf(property, CASES);
  test(`${property.claim} (${cases} cases)`, async () => {
    const verdict = await tryCases(property, cases, SEED);
    if (verdict.failed) assert.fail(verdict.report);
  });
}

for (const { name, messages } of recordings) {
  test(`a session of ${name} that is cut at any byte gets the same replies`, () => {
    const sent = Buffer.concat(messages);
    const whole = converse(sent, WHOLE);
    assert(whole.judged.requests.length > 0 && whole.judged.over === !whole.open);
    for (let cut = 1; cut < sent.length; cut++) {
      const { received } = converse(sent, { ...WHOLE, pieces: [cut, sent.length] });
      assert(received.equals(whole.received), `cut at byte ${cut}`);
    }
    const bytewise = converse(sent, { ...WHOLE, pieces: [1] });
    assert(bytewise.received.equals(whole.received), "cut at every byte");
  });

  test(`the replies to ${name}, cut at any byte, are read the same by a client`, () => {
    const { received, judged } = converse(Buffer.concat(counted(messages)), WHOLE);
    const replies = received.subarray(judged.repliesAt);
    const whole = parseReplies(replies, judged.requests, judged.rules, [replies.length]);
    assert.equal(whole.settled.size, judged.requests.length);
    for (let cut = 1; cut < replies.length; cut++) {
      const pieces = parseReplies(replies, judged.requests, judged.rules, [cut, replies.length]);
      assert.deepEqual(pieces, whole, `cut at byte ${cut}`);
    }
  });
}
