import fc from "fast-check";
import type { Messages } from "./sessions.ts";

/** What is done to a session on its way. Positions are of the whole, and wrap around. */
export type Mutation =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "remove"; readonly at: number; readonly count: number }
  /** One of the words of a message, where its lengths are, becomes another. */
  | { readonly kind: "word"; readonly message: number; readonly word: number; readonly value: number }
  | { readonly kind: "drop"; readonly message: number }
  | { readonly kind: "repeat"; readonly message: number }
  | { readonly kind: "move"; readonly message: number; readonly to: number }
  /** From a message on it goes on as another session does from one of its own. */
  | { readonly kind: "splice"; readonly message: number; readonly other: Messages; readonly from: number };

const EDGE_WORDS = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 257, 4096, 4097, 65536, 32 << 20];
/** A request has eight words at the most, and an option's header four. */
const WORDS = 10;
const place = fc.nat(0xffff);

export const mutation = (sessions: fc.Arbitrary<Messages>): fc.Arbitrary<Mutation> =>
  fc.oneof(
    fc.record({ kind: fc.constant("flip" as const), at: place, bit: fc.nat(7) }),
    fc.record({ kind: fc.constant("insert" as const), at: place, bytes: fc.uint8Array({ maxLength: 40 }) }),
    fc.record({ kind: fc.constant("remove" as const), at: place, count: fc.nat(40) }),
    fc.record({
      kind: fc.constant("word" as const),
      message: place,
      word: fc.nat(WORDS),
      value: fc.oneof(fc.constantFrom(...EDGE_WORDS), fc.nat(0xffff_ffff)),
    }),
    fc.record({ kind: fc.constant("drop" as const), message: place }),
    fc.record({ kind: fc.constant("repeat" as const), message: place }),
    fc.record({ kind: fc.constant("move" as const), message: place, to: place }),
    fc.record({ kind: fc.constant("splice" as const), message: place, other: sessions, from: place }),
  );

/** What arrives of `messages` after all that has been done to them, one after the other. */
export function mutate(messages: Messages, mutations: readonly Mutation[]): Buffer {
  let all = [...messages];
  for (const one of mutations) all = apply(all, one);
  return Buffer.concat(all);
}

function apply(messages: Buffer[], one: Mutation): Buffer[] {
  if (messages.length === 0) return messages;
  switch (one.kind) {
    case "flip":
      return inBytes(messages, one.at, (bytes, at) => {
        bytes[at] = (bytes[at] ?? 0) ^ (1 << one.bit);
        return bytes;
      });
    case "insert":
      return inBytes(messages, one.at, (bytes, at) =>
        Buffer.concat([bytes.subarray(0, at), one.bytes, bytes.subarray(at)]),
      );
    case "remove":
      return inBytes(messages, one.at, (bytes, at) =>
        Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + one.count)]),
      );
    case "word": {
      const index = one.message % messages.length;
      const bytes = Buffer.from(messages[index] as Buffer);
      if (bytes.length < 4) return messages;
      bytes.writeUInt32BE(one.value, (one.word * 4) % (bytes.length - 3));
      return messages.with(index, bytes);
    }
    case "drop":
      return messages.toSpliced(one.message % messages.length, 1);
    case "repeat": {
      const index = one.message % messages.length;
      return messages.toSpliced(index, 0, messages[index] as Buffer);
    }
    case "move": {
      const [moved] = messages.splice(one.message % messages.length, 1);
      return messages.toSpliced(one.to % (messages.length + 1), 0, moved as Buffer);
    }
    case "splice":
      return [
        ...messages.slice(0, one.message % messages.length),
        ...one.other.slice(one.from % Math.max(1, one.other.length)),
      ];
  }
}

/** Changes a copy of the message in which the byte at `place` of the whole lies. */
function inBytes(messages: Buffer[], place: number, change: (bytes: Buffer, at: number) => Buffer): Buffer[] {
  const total = messages.reduce((sum, { length }) => sum + length, 0);
  let at = total === 0 ? 0 : place % total;
  for (const [index, bytes] of messages.entries()) {
    if (at < bytes.length) return messages.with(index, change(Buffer.from(bytes), at));
    at -= bytes.length;
  }
  return messages;
}
