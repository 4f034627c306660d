import assert from "node:assert/strict";
import fc from "fast-check";
import { mutate, mutation } from "./mutations.ts";
import { recordings } from "./recordings.ts";
import { distort, distortion, haggleWith, parseReplies } from "./server-stream.ts";
import { anyOptions, countable, greedy, haggling, type Messages, surroundings, wellFormed } from "./sessions.ts";
import { converse, type Surroundings } from "./world.ts";

/** A claim that is tried on many cases. */
export interface Property {
  readonly claim: string;
  /** Its part of all cases, relative to the others. */
  readonly share: number;
  readonly property: fc.IRawProperty<unknown>;
}

const CALM: Surroundings = {
  pieces: [1 << 20],
  depth: 8,
  prompt: true,
  reads: true,
  tls: "off",
  limits: { inFlightRequests: 8, inFlightBytes: 1 << 20 },
  choices: [0],
};

const recorded: fc.Arbitrary<Messages> = fc.constantFrom(...recordings).map(({ messages }) => messages);
/** Where a stream of replies is distorted, at the most: few are longer. */
const MOST_REPLY_BYTES = 4000;
const MOST_HANDSHAKE_BYTES = 300;

export const PROPERTIES: readonly Property[] = [
  {
    claim: "every command gets its one reply, in any surroundings",
    share: 3,
    property: fc.property(wellFormed, surroundings, (messages, around) => {
      converse(Buffer.concat(messages), around);
    }),
  },
  {
    claim: "options in any order, well formed or not, are each answered or end the connection",
    share: 2,
    property: fc.property(anyOptions, surroundings, (messages, around) => {
      converse(Buffer.concat(messages), around);
    }),
  },
  {
    claim: "what was agreed on counts, until TLS or the next attempt makes it forgotten",
    share: 1,
    property: fc.property(haggling, surroundings, (messages, around) => {
      const pieces = messages.map(({ length }) => length);
      converse(Buffer.concat(messages), { ...around, tls: "on", pieces });
    }),
  },
  {
    claim: "a drawn session, however damaged, gets nothing that it has not asked for",
    share: 4,
    property: damaged(wellFormed),
  },
  {
    claim: "a real client's session, however damaged, gets nothing that it has not asked for",
    share: 4,
    property: damaged(recorded),
  },
  {
    claim: "a damaged handshake gets nothing that it has not asked for",
    share: 1,
    property: damaged(anyOptions),
  },
  {
    claim: "a greedy client that takes its replies late is kept within the limits",
    share: 0.05,
    property: fc.property(greedy, surroundings, (messages, around) => {
      converse(Buffer.concat(messages), { ...around, reads: false });
    }),
  },
  {
    claim: "a client takes a server's replies apart, in any pieces",
    share: 1,
    property: fc.property(countable, fc.integer({ min: 1, max: 5000 }), (messages, step) => {
      const { received, judged } = converse(Buffer.concat(messages), CALM);
      const whole = parseReplies(received.subarray(judged.repliesAt), judged.requests, judged.rules, [received.length]);
      assert.equal(whole.lost, false, "a good server is given up");
      assert.equal(whole.settled.size, judged.requests.length);
      const pieces = parseReplies(received.subarray(judged.repliesAt), judged.requests, judged.rules, [step]);
      assert.deepEqual(pieces, whole);
    }),
  },
  {
    claim: "a client gives up on damaged replies, and on nothing else",
    share: 3,
    property: fc.property(
      countable,
      fc.array(distortion(MOST_REPLY_BYTES), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 5000 }),
      (messages, distortions, step) => {
        const { received, judged } = converse(Buffer.concat(messages), CALM);
        const replies = distort(received.subarray(judged.repliesAt), distortions, 0);
        parseReplies(replies, judged.requests, judged.rules, [step]);
      },
    ),
  },
  {
    claim: "a client's handshake with a damaged server ends, well or with an error of its own",
    share: 2,
    property: fc.asyncProperty(
      fc.array(distortion(MOST_HANDSHAKE_BYTES), { maxLength: 3 }),
      fc.constantFrom("simple", "structured", "extended"),
      haggleWith,
    ),
  },
];

function damaged(sessions: fc.Arbitrary<Messages>): fc.IRawProperty<unknown> {
  const mutations = fc.array(mutation(fc.oneof(wellFormed, recorded)), { minLength: 1, maxLength: 4 });
  return fc.property(sessions, mutations, surroundings, (messages, damage, around) => {
    converse(mutate(messages, damage), around);
  });
}

/** What became of some cases of a property. */
export type Verdict = { readonly failed: false } | { readonly failed: true; readonly report: string };

/** Tries `cases` cases of the property that `seed` draws; the same ones for the same numbers. */
export async function tryCases({ property }: Property, cases: number, seed: number): Promise<Verdict> {
  const result = await fc.check(property, { numRuns: cases, seed, includeErrorInReport: true });
  if (!result.failed) return { failed: false };
  return { failed: true, report: (await fc.asyncDefaultReportMessage(result)) ?? "" };
}

/** The part of `total` cases that is this property's; one at least. */
export function casesOf(property: Property, total: number): number {
  const shares = PROPERTIES.reduce((sum, { share }) => sum + share, 0);
  return Math.max(1, Math.round((total * property.share) / shares));
}
