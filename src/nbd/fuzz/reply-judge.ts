import assert from "node:assert/strict";
import { CHUNK, CHUNK_ERROR_BIT, CHUNK_FLAG_DONE, COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import type { Asked, ByteReader } from "./client-reader.ts";

const SIMPLE_MAGIC = 0x67446698;
const CHUNK_MAGIC = 0x668e33ef;
const EXTENDED_CHUNK_MAGIC = 0x6e8a278c;
/** EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN. */
const ERRORS: ReadonlySet<number> = new Set([1, 5, 12, 22, 28, 75, 95, 108]);

/** What replies have to look like. */
export interface ReplyRules {
  readonly structured: boolean;
  readonly extended: boolean;
  /** Ids of the contexts that were selected. */
  readonly contexts: ReadonlySet<number>;
}

/** A request whose reply has begun, or not even that. */
interface Open {
  readonly request: Asked;
  chunks: number;
  failed: boolean;
  readonly ranges: { readonly start: bigint; readonly end: bigint }[];
  readonly contexts: Set<number>;
}

/** Judges the replies to `requests`, whose cookies may well be the same. */
export class ReplyJudge {
  readonly #rules: ReplyRules;
  readonly #open = new Map<bigint, Open[]>();
  /** Cookies that several different requests had at once: of their replies nobody can tell whose they are. */
  readonly #blurred = new Set<bigint>();
  /** The rest can't be told apart: several requests without a reply had the cookie of a simple one. */
  ambiguous = false;

  constructor(requests: readonly Asked[], rules: ReplyRules) {
    this.#rules = rules;
    for (const request of requests) {
      const open = { request, chunks: 0, failed: false, ranges: [], contexts: new Set<number>() };
      const others = this.#open.get(request.cookie);
      if (others === undefined) this.#open.set(request.cookie, [open]);
      else others.push(open);
    }
  }

  /** Reads to the end, or as far as can be told; how many requests have their whole reply. */
  read(received: ByteReader): number {
    let answered = 0;
    while (received.left > 0 && !this.ambiguous) {
      const magic = received.u32();
      if (magic === SIMPLE_MAGIC) answered += this.#simple(received);
      else answered += this.#chunk(received, magic);
    }
    return answered;
  }

  #simple(received: ByteReader): number {
    const { structured, extended } = this.#rules;
    const error = received.u32();
    const cookie = received.u64();
    const others = this.#find(cookie);
    assert(!extended, "there are no simple replies with extended headers");
    checkError(error, true);
    if (!this.#isSure(cookie, others)) {
      // Only a READ's simple reply has data, and with structured replies it has no simple reply.
      this.ambiguous = error === 0 && !structured;
      others.shift();
      return 1;
    }
    const { request, chunks } = others.shift() as Open;
    assert.equal(chunks, 0, "a simple reply after chunks");
    assert(!structured || request.type !== COMMAND.READ, "a simple reply to a READ, with structured replies");
    assert(error !== 0 || request.type !== COMMAND.BLOCK_STATUS, "a BLOCK_STATUS succeeds without extents");
    if (error === 0 && request.type === COMMAND.READ) received.skip(Number(request.length));
    return 1;
  }

  #chunk(received: ByteReader, magic: number): number {
    const { structured, extended } = this.#rules;
    assert.equal(magic, extended ? EXTENDED_CHUNK_MAGIC : CHUNK_MAGIC, "the magic of a reply");
    assert(structured || extended, "a chunk without structured replies");
    const flags = received.u16();
    assert.equal(flags & ~CHUNK_FLAG_DONE, 0, "the flags of a chunk");
    const done = (flags & CHUNK_FLAG_DONE) !== 0;
    const type = received.u16();
    const cookie = received.u64();
    const others = this.#find(cookie);
    const open = others[0] as Open;
    const sure = this.#isSure(cookie, others) && others.length === 1;
    if (extended) {
      const offset = received.u64();
      assert(
        this.#blurred.has(cookie) || others.some(({ request }) => request.offset === offset),
        "the offset of the request comes back",
      );
    }
    const body = received.take(extended ? Number(received.u64()) : received.u32());
    open.chunks++;
    this.#content(open, type, body, sure);
    if (!done) return 0;
    if (sure) checkWhole(open);
    others.shift();
    return 1;
  }

  #content(open: Open, type: number, body: Buffer, sure: boolean): void {
    const { request } = open;
    const is = (command: number) =>
      assert(!sure || request.type === command, `chunk ${type} to command ${request.type}`);
    switch (type) {
      case CHUNK.NONE:
        assert.equal(body.length, 0, "an empty chunk has no content");
        return;
      case CHUNK.OFFSET_DATA:
        is(COMMAND.READ);
        assert(body.length > 8, "a chunk of data has some");
        return takeRange(open, body.readBigUInt64BE(), BigInt(body.length - 8), sure);
      case CHUNK.OFFSET_HOLE:
        is(COMMAND.READ);
        assert.equal(body.length, 12, "the size of a hole's chunk");
        assert(body.readUInt32BE(8) > 0, "a hole is not empty");
        return takeRange(open, body.readBigUInt64BE(), BigInt(body.readUInt32BE(8)), sure);
      case CHUNK.BLOCK_STATUS:
      case CHUNK.BLOCK_STATUS_EXT:
        is(COMMAND.BLOCK_STATUS);
        assert.equal(type === CHUNK.BLOCK_STATUS_EXT, this.#rules.extended, "the form of the extents");
        return this.#extents(open, body, sure);
      default:
        assert((type & CHUNK_ERROR_BIT) !== 0, `an unknown chunk ${type}`);
        assert(body.length >= 6 && body.readUInt16BE(4) <= Math.min(4096, body.length - 6), "an error's message");
        checkError(body.readUInt32BE(0), false);
        open.failed = true;
    }
  }

  #extents(open: Open, body: Buffer, sure: boolean): void {
    const { extended, contexts } = this.#rules;
    const [head, size] = extended ? [8, 16] : [4, 8];
    const context = body.readUInt32BE(0);
    assert(contexts.has(context), "extents of a context that was not selected");
    assert(!sure || !open.contexts.has(context), "the extents of one context twice");
    open.contexts.add(context);
    const count = (body.length - head) / size;
    assert(Number.isInteger(count) && count > 0, "whole extents, one at least");
    assert(!extended || body.readUInt32BE(4) === count, "the count of extents");
    let end = 0n;
    const limit = effect(open.request);
    for (let at = head; at < body.length; at += size) {
      const length = extended ? body.readBigUInt64BE(at) : BigInt(body.readUInt32BE(at));
      assert(length > 0n, "no extent is empty");
      assert(!sure || end < limit, "extents behind the end of the request");
      end += length;
    }
    if (!sure || (open.request.flags & COMMAND_FLAG.REQ_ONE) === 0) return;
    assert(count === 1 && end <= limit, "REQ_ONE gets one extent, within the request");
  }

  /** Whether a reply to one of `others` may be held against any of them, since they are alike. */
  #isSure(cookie: bigint, others: readonly Open[]): boolean {
    if (others.some(({ request }) => !alike(request, others[0]?.request))) this.#blurred.add(cookie);
    return !this.#blurred.has(cookie);
  }

  #find(cookie: bigint): Open[] {
    const others = this.#open.get(cookie);
    assert(others !== undefined && others.length > 0, `an answer to ${cookie}, which nobody asked or which has one`);
    return others;
  }
}

/** Bytes that a BLOCK_STATUS is about. With data of its own, these say so in their first word. */
function effect({ payload, length }: Asked): bigint {
  return payload.length >= 8 ? payload.readBigUInt64BE() : length;
}

function alike(one: Asked, other: Asked | undefined): boolean {
  return one.type === other?.type && one.length === other.length && one.offset === other.offset;
}

function takeRange({ request, ranges }: Open, start: bigint, length: bigint, sure: boolean): void {
  if (!sure) return;
  const end = start + length;
  assert(start >= request.offset && end <= request.offset + request.length, "data from outside of the request");
  assert(!ranges.some((range) => start < range.end && range.start < end), "chunks that overlap");
  assert((request.flags & COMMAND_FLAG.DF) === 0 || ranges.length === 0, "DF wants one chunk");
  ranges.push({ start, end });
}

/** A reply that ends without an error brings all that was asked for. */
function checkWhole({ request, failed, ranges, contexts }: Open): void {
  if (failed) return;
  const bytes = ranges.reduce((sum, { start, end }) => sum + end - start, 0n);
  assert(request.type !== COMMAND.READ || bytes === request.length, "a READ succeeds with gaps");
  assert(request.type !== COMMAND.BLOCK_STATUS || contexts.size > 0, "a BLOCK_STATUS succeeds without extents");
}

function checkError(error: number, mayBeNone: boolean): void {
  assert(ERRORS.has(error) || (mayBeNone && error === 0), `the error ${error} is none of the protocol's`);
}
