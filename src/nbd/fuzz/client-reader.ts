import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";

export const FLAGS_BYTES = 4;
const IHAVEOPT = 0x49484156454f5054n;
const COMPACT = { magic: 0x25609513, bytes: 28 };
const EXTENDED = { magic: 0x21e41c71, bytes: 32 };

/** Takes big-endian numbers off the front of a buffer. */
export class ByteReader {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  u64(): bigint {
    return this.take(8).readBigUInt64BE();
  }

  take(count: number): Buffer {
    if (count > this.left) throw new RangeError(`Cannot take ${count} bytes: there are ${this.left}`);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  skip(count: number): void {
    this.take(count);
  }
}

/** "incomplete": the rest has not come. "lost": what comes is not what has to. */
export type Gap = "incomplete" | "lost";

export interface Option {
  readonly number: number;
  readonly data: Buffer;
}

/** The next option, taken off only if it is there in whole. */
export function readOption(sent: ByteReader): Option | Gap {
  const start = sent.at;
  if (sent.left < 16) return "incomplete";
  if (sent.u64() !== IHAVEOPT) return "lost";
  const number = sent.u32();
  const length = sent.u32();
  if (sent.left < length) {
    sent.at = start;
    return "incomplete";
  }
  return { number, data: sent.take(length) };
}

/** A command that a client asked for, its data included. */
export interface Asked {
  readonly type: number;
  readonly flags: number;
  readonly cookie: bigint;
  readonly offset: bigint;
  readonly length: bigint;
  readonly payload: Buffer;
}

/** The next request, taken off only if it is there in whole. */
export function readRequest(sent: ByteReader, extended: boolean): Asked | Gap {
  const { magic, bytes } = extended ? EXTENDED : COMPACT;
  const start = sent.at;
  if (sent.left < bytes) return "incomplete";
  if (sent.u32() !== magic) return "lost";
  const flags = sent.u16();
  const type = sent.u16();
  const cookie = sent.u64();
  const offset = sent.u64();
  const length = extended ? sent.u64() : BigInt(sent.u32());
  const hasPayload = extended ? (flags & COMMAND_FLAG.PAYLOAD_LEN) !== 0 : type === COMMAND.WRITE;
  if (hasPayload && type !== COMMAND.DISC && length > BigInt(sent.left)) {
    sent.at = start;
    return "incomplete";
  }
  const payload = hasPayload && type !== COMMAND.DISC ? sent.take(Number(length)) : Buffer.alloc(0);
  return { type, flags, cookie, offset, length, payload };
}
