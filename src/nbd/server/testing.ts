import assert from "node:assert/strict";
import { ERRNO, type Errno } from "../../block/errors.ts";
import type { Geometry } from "../../block/geometry.ts";
import { MAX_SLOT_BYTES, type Memory, type Payload, restOfSlot, slotBytes } from "../../block/memory.ts";
import type { Extent, Request } from "../../block/request.ts";
import type { BlockDevice } from "../../shadow/ports.ts";
import { GEOMETRY, HeapMemory } from "../../shadow/testing.ts";
import { encodeClientFlags } from "../wire/greeting.ts";
import { encodeInfoRequest, encodeOption } from "../wire/options.ts";
import { COMMAND, OPTION } from "../wire/protocol.ts";
import { encodeRequest, REQUEST_BYTES } from "../wire/requests.ts";
import { viewOf } from "../wire/view.ts";
import type { Exports } from "./exports.ts";
import type { Session } from "./session.ts";
import type { Transport } from "./transport.ts";

/** A device in memory. Answers with each `kick`, or, while `held`, when the test says so. */
export class FakeDevice implements BlockDevice {
  geometry: Geometry;
  readonly content: Uint8Array;
  readonly reads: Memory = new HeapMemory();
  readonly writes: Memory = new HeapMemory();
  /** Requests submitted and not answered. */
  readonly pending: Request[] = [];
  /** All that was submitted, in words. */
  readonly log: string[] = [];
  /** What `extents` answers; all of it data if empty. */
  extents: readonly Extent[] = [];
  held = false;
  /** Requests that may be admitted and not answered. */
  depth = Number.POSITIVE_INFINITY;
  /** What admission answers instead. */
  refusal: Errno = 0;
  /** What requests are answered with. */
  errno: Errno = 0;
  admitted = 0;
  #waiting: (() => void)[] = [];

  constructor(geometry: Partial<Geometry> = {}) {
    this.geometry = { ...GEOMETRY, size: 1 << 20, fua: true, ...geometry };
    this.content = new Uint8Array(this.geometry.size);
  }

  admit(request: Request): "admitted" | "wait" | Errno {
    if (this.refusal !== 0) return this.refusal;
    if (this.admitted >= this.depth) return "wait";
    if (request.kind === "read" || request.kind === "write") {
      request.payload = (request.kind === "read" ? this.reads : this.writes).allocate(request.length);
      if (request.payload === undefined) return "wait";
    }
    this.admitted++;
    return "admitted";
  }

  whenRoom(_request: Request, callback: () => void): () => void {
    this.#waiting.push(callback);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== callback);
    };
  }

  submit(request: Request): void {
    if (this.log.length < 10_000) this.log.push(`${request.kind} ${request.offset}+${request.length}`);
    this.pending.push(request);
  }

  abandon(request: Request): void {
    this.admitted--;
    if (request.payload !== undefined) this.writes.release(request.payload);
  }

  kick(): void {
    if (!this.held) this.answerAll();
  }

  answerAll(): void {
    for (;;) {
      const request = this.pending.shift();
      if (request === undefined) return;
      this.answer(request);
    }
  }

  /** Executes `request`, which is no longer among the pending ones, and replies. */
  answer(request: Request): void {
    const errno = this.errno !== 0 ? this.errno : this.#execute(request);
    if (request.kind === "write" && request.payload !== undefined) this.writes.release(request.payload);
    this.admitted--;
    request.requester.reply(request, errno);
  }

  /** Calls back whoever waits for room. */
  makeRoom(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }

  #execute(request: Request): Errno {
    const { kind, offset, length, payload } = request;
    switch (kind) {
      case "write":
      case "read":
        assert(payload !== undefined);
        for (const [index, slot] of payload.slots.entries()) {
          const at = offset + index * MAX_SLOT_BYTES;
          const count = Math.min(MAX_SLOT_BYTES, length - index * MAX_SLOT_BYTES);
          if (kind === "write") this.content.set(slot.bytes.subarray(0, count), at);
          else slot.bytes.set(this.content.subarray(at, at + count));
        }
        return 0;
      case "zero":
        if (request.fast && !this.geometry.zero) return ERRNO.ENOTSUP;
        this.content.fill(0, offset, offset + length);
        return 0;
      case "trim":
        this.content.fill(0, offset, offset + length);
        return 0;
      case "extents":
        request.extents = this.extents.length > 0 ? this.extents : [{ length, hole: false, zero: false }];
        return 0;
      default:
        return 0;
    }
  }
}

/** A transport whose other end is the test. */
export class FakeTransport implements Transport {
  queuedBytes = 0;
  paused = false;
  state: "open" | "ended" | "destroyed" = "open";
  peerGone = false;
  encrypted = false;
  /** Keeps what is sent queued, like a client that doesn't read. */
  stuck = false;
  #sent: Uint8Array[] = [];
  /** Sent before TLS was started. */
  #plain: Uint8Array[] = [];
  #queue: { bytes: Uint8Array; done: (() => void) | undefined }[] = [];

  send(bytes: Uint8Array): void {
    this.#push(bytes.slice(), undefined);
  }

  sendPayload(payload: Payload, start: number, length: number, done: () => void): void {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const count = Math.min(length - at, restOfSlot(start + at));
      bytes.set(slotBytes(payload, start + at, count), at);
      at += count;
    }
    this.#push(bytes, done);
  }

  flush(): void {
    if (this.stuck) return;
    const queue = this.#queue;
    this.#queue = [];
    this.queuedBytes = 0;
    for (const { bytes, done } of queue) {
      this.#sent.push(bytes);
      done?.();
    }
  }

  startTls(): void {
    assert(!this.encrypted, "TLS starts once");
    this.flush();
    this.#plain = this.#sent;
    this.#sent = [];
    this.encrypted = true;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  hungUp(): boolean {
    return this.peerGone;
  }

  end(): void {
    this.flush();
    this.state = "ended";
  }

  destroy(): void {
    this.state = "destroyed";
    const queue = this.#queue;
    this.#queue = [];
    this.queuedBytes = 0;
    for (const { done } of queue) done?.();
  }

  /** All that was sent since the last call, in plain text and encrypted. */
  take(): Buffer {
    const sent = Buffer.concat([...this.#plain, ...this.#sent]);
    this.#plain = [];
    this.#sent = [];
    return sent;
  }

  /** Of what was sent since the last call, what went out before TLS was started. */
  takePlain(): Buffer {
    const sent = Buffer.concat(this.#plain);
    this.#plain = [];
    return sent;
  }

  #push(bytes: Uint8Array, done: (() => void) | undefined): void {
    if (this.state !== "open") {
      done?.();
      return;
    }
    this.#queue.push({ bytes, done });
    this.queuedBytes += bytes.length;
  }
}

/** Hands `bytes` to the session in pieces of at most `step` bytes, until it pauses. Returns how many it took. */
export function feed(session: Session, transport: FakeTransport, bytes: Uint8Array, step = bytes.length): number {
  let at = 0;
  while (at < bytes.length && !transport.paused && transport.state === "open") {
    const into = session.receiveBuffer();
    assert(into.length > 0, "no room to receive into");
    const count = Math.min(step, into.length, bytes.length - at);
    into.set(bytes.subarray(at, at + count));
    session.received(count);
    at += count;
  }
  return at;
}

/** Resolves when so many more requests have reached the device. */
export function submitted(device: FakeDevice, count: number): Promise<void> {
  return new Promise((resolve) => {
    const submit = device.submit.bind(device);
    let seen = 0;
    device.submit = (request: Request) => {
      submit(request);
      if (++seen === count) {
        device.submit = submit;
        resolve();
      }
    };
  });
}

/** The device as the one export, "disk". */
export function oneExport(device: BlockDevice, name = "disk", description = "a disk"): Exports {
  const only = { name, description, device };
  return { list: () => [only], find: (wanted) => (wanted === name ? only : undefined) };
}

/** What a client sends that chooses "disk" and reads `count` times `length` bytes from the start. */
export function conversation(count: number, length: number): Buffer {
  const requests = Buffer.alloc(count * REQUEST_BYTES);
  const view = viewOf(requests);
  for (let index = 0; index < count; index++) {
    const header = { type: COMMAND.READ, flags: 0, cookieHigh: 0, cookieLow: index, offset: 0, length };
    encodeRequest(view, index * REQUEST_BYTES, header);
  }
  return Buffer.concat([
    encodeClientFlags({ fixedNewstyle: true, noZeroes: true }),
    encodeOption(OPTION.GO, encodeInfoRequest({ name: "disk", wanted: [] })),
    requests,
  ]);
}
