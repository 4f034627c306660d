import assert from "node:assert/strict";
import fc from "fast-check";
import { SkinkError } from "../../block/errors.ts";
import { ManualClock } from "../../shadow/testing.ts";
import { disconnected } from "../client/errors.ts";
import type { Exchange } from "../client/exchange.ts";
import type { ByteStream } from "../client/haggle.ts";
import { negotiate } from "../client/handshake.ts";
import { ReplyParser } from "../client/replies.ts";
import { Session } from "../server/session.ts";
import { FakeDevice, FakeTransport, feed, oneExport } from "../server/testing.ts";
import { ALLOCATION_CONTEXT, COMMAND } from "../wire/protocol.ts";
import type { Asked } from "./client-reader.ts";
import type { ReplyRules } from "./reply-judge.ts";
import { DISK_BYTES } from "./world.ts";

/** What a client may make of a server that does not keep to the protocol, or says no. */
const ALLOWED = ["bad-server", "disconnected", "unknown-export", "refused-export", "tls-required"];

/** What is done to a byte stream as it goes by: at byte `at`, `removed` bytes give way to `inserted`. */
export interface Distortion {
  readonly at: number;
  readonly removed: number;
  readonly inserted: Uint8Array;
}

const EDGES = [0x00000000, 0x00000001, 0x7fffffff, 0x80000000, 0xffffffff, 0x00010000, 0x00000011].map((word) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(word >>> 0);
  return bytes;
});

export const distortion = (most: number): fc.Arbitrary<Distortion> =>
  fc.oneof(
    fc.record({ at: fc.nat(most), removed: fc.constant(1), inserted: fc.uint8Array({ minLength: 1, maxLength: 1 }) }),
    fc.record({
      at: fc.nat(most / 4).map((word) => word * 4),
      removed: fc.constant(4),
      inserted: fc.constantFrom(...EDGES),
    }),
    fc.record({ at: fc.nat(most), removed: fc.nat(16), inserted: fc.uint8Array({ maxLength: 16 }) }),
  );

/** The bytes after all that is done to them; `before`: how many have gone by already. */
export function distort(bytes: Buffer, distortions: readonly Distortion[], before: number): Buffer {
  let distorted = bytes;
  for (const { at, removed, inserted } of distortions) {
    const from = at - before;
    if (from < 0 || from >= distorted.length) continue;
    distorted = Buffer.concat([distorted.subarray(0, from), inserted, distorted.subarray(from + removed)]);
  }
  return distorted;
}

/** A client's handshake with a server whose answers are distorted. It ends well, or with one of its own errors. */
export async function haggleWith(distortions: readonly Distortion[], replies: "simple" | "structured" | "extended") {
  const server = new DistortedServer(distortions);
  try {
    await negotiate(server, { name: "disk", contexts: [ALLOCATION_CONTEXT], replies, tls: undefined });
  } catch (error) {
    assert(error instanceof SkinkError && ALLOWED.includes(error.code), error as Error);
    assert(!error.message.includes("\n"), "an error is one line");
  } finally {
    server.close();
  }
}

class DistortedServer implements ByteStream {
  readonly #distortions: readonly Distortion[];
  readonly #transport = new FakeTransport();
  readonly #session: Session;
  #came = Buffer.alloc(0);
  #before = 0;

  constructor(distortions: readonly Distortion[]) {
    this.#distortions = distortions;
    const exports = oneExport(new FakeDevice({ size: DISK_BYTES }));
    this.#session = new Session({ transport: this.#transport, exports, clock: new ManualClock() });
    this.#take();
  }

  read(count: number): Promise<Uint8Array> {
    if (count > this.#came.length) return Promise.reject(disconnected("the server closed it"));
    const bytes = this.#came.subarray(0, count);
    this.#came = this.#came.subarray(count);
    return Promise.resolve(bytes);
  }

  write(bytes: Uint8Array): void {
    feed(this.#session, this.#transport, bytes);
    this.#take();
  }

  startTls(): Promise<void> {
    return Promise.reject(new Error("nobody has asked for TLS"));
  }

  close(): void {
    this.#transport.destroy();
    this.#session.closed();
  }

  #take(): void {
    if (this.#transport.state === "open") this.#transport.flush();
    const bytes = this.#transport.take();
    this.#came = Buffer.concat([this.#came, distort(bytes, this.#distortions, this.#before)]);
    this.#before += bytes.length;
  }
}

/** What a client has made of a stream of replies. */
export interface Parsed {
  /** The errors of the requests that were settled, by their cookies. */
  readonly settled: ReadonlyMap<number, number>;
  /** The stream was given up. */
  readonly lost: boolean;
}

/**
 * Has a client's parser read `bytes` as the replies to `requests`, in pieces of such lengths, of which the last is that of
 * all others. It settles no request twice, and gives up by a `bad-server` alone.
 */
export function parseReplies(
  bytes: Buffer,
  requests: readonly Asked[],
  rules: ReplyRules,
  pieces: readonly number[],
): Parsed {
  const [allocationId] = rules.contexts;
  const contexts = new Map([...rules.contexts].map((id) => [id, ALLOCATION_CONTEXT]));
  const waiting = new Map(requests.map((request) => [Number(request.cookie), exchangeFor(request)]));
  const settled = new Map<number, number>();
  const parser = new ReplyParser<Exchange>(
    {
      find: (cookie) => waiting.get(cookie),
      settled: (cookie, _exchange, error) => {
        assert(waiting.delete(cookie), "a request is settled twice, or was never made");
        settled.set(cookie, error);
      },
    },
    { ...rules, allocationId, contexts },
  );
  try {
    for (let at = 0, index = 0; at < bytes.length; index++) {
      const into = parser.receiveBuffer();
      const piece = pieces[Math.min(index, pieces.length - 1)] ?? 1;
      const count = Math.min(into.length, piece, bytes.length - at);
      into.set(bytes.subarray(at, at + count));
      parser.received(count);
      at += count;
    }
    return { settled, lost: false };
  } catch (error) {
    assert(error instanceof SkinkError && error.code === "bad-server", error as Error);
    return { settled, lost: true };
  }
}

function exchangeFor({ type, flags, offset, length }: Asked): Exchange {
  return {
    type,
    flags,
    offset: Number(offset),
    length: Number(length),
    data: undefined,
    // What is longer than the disk has no data to come.
    into: type === COMMAND.READ && length <= BigInt(DISK_BYTES) ? new Uint8Array(Number(length)) : undefined,
    extents: type === COMMAND.BLOCK_STATUS ? [] : undefined,
    runs: undefined,
    sparse: false,
    covered: 0,
    error: 0,
  };
}
