import { strict as assert } from "node:assert";
import type { Errno } from "../block/errors.ts";
import type { Geometry } from "../block/geometry.ts";
import { MAX_SLOT_BYTES, type Payload, restOfSlot, slotBytes } from "../block/memory.ts";
import { type Extent, isWriter, type Request, type Requester, type RequestKind } from "../block/request.ts";
import type { BlockDevice } from "../shadow/ports.ts";
import type { Place } from "./log-writer.ts";
import type { Recording, WriterKind } from "./recording.ts";

/** What decides whether clients have to wait. */
export interface Room {
  readonly full: boolean;
  /** While it is full: calls back once it isn't, from the event loop, in the order of asking. Returns a way not to be called. */
  whenRoom(callback: () => void): () => void;
}

/**
 * A device whose writers and flushes are recorded: what clients were answered, in the order of the answers. What promises
 * durability (a flush, FUA) is answered when it is in the log; everything else at once.
 *
 *   client ──request──▶ RecordedDevice ──twin──▶ device
 *          ◀──reply────       │        ◀─reply──
 *                             ▼
 *                         recording
 */
export class RecordedDevice implements BlockDevice {
  readonly #device: BlockDevice;
  readonly #recording: Recording;
  readonly #room: Room;
  readonly #twins = new WeakMap<Request, Twin>();

  /** `room`: of all the logs that a client's request fills. */
  constructor(device: BlockDevice, recording: Recording, room: Room) {
    this.#device = device;
    this.#recording = recording;
    this.#room = room;
  }

  get geometry(): Geometry {
    return this.#device.geometry;
  }

  get reads(): BlockDevice["reads"] {
    return this.#device.reads;
  }

  admit(request: Request): "admitted" | "wait" | Errno {
    if (!isRecorded(request)) return this.#device.admit(request);
    if (isWriter(request.kind) && this.#room.full) return "wait";
    // Requesters may use the objects of answered requests again.
    const twin = new Twin(request, this.#device, this.#recording);
    this.#twins.set(request, twin);
    const verdict = this.#device.admit(twin);
    request.payload = twin.payload;
    return verdict;
  }

  whenRoom(request: Request, callback: () => void): () => void {
    if (!isRecorded(request)) return this.#device.whenRoom(request, callback);
    if (this.#room.full) return this.#room.whenRoom(callback);
    return this.#device.whenRoom(this.#twinOf(request), callback);
  }

  abandon(request: Request): void {
    if (!isRecorded(request)) return this.#device.abandon(request);
    this.#device.abandon(this.#twinOf(request));
    request.payload = undefined;
  }

  submit(request: Request): void {
    if (!isRecorded(request)) return this.#device.submit(request);
    this.#twinOf(request).submit();
  }

  kick(): void {
    this.#device.kick();
  }

  #twinOf(request: Request): Twin {
    const twin = this.#twins.get(request);
    assert(twin !== undefined, "a request is admitted first");
    return twin;
  }
}

/** Stands for a client's request before the device, which answers it here. */
class Twin implements Request, Requester {
  readonly kind: RequestKind;
  readonly offset: number;
  readonly length: number;
  readonly fua: boolean;
  readonly mayTrim: boolean;
  readonly fast: boolean;
  readonly requester: Requester = this;
  payload: Payload | undefined;
  extents: readonly Extent[] | undefined;
  readonly #original: Request;
  readonly #device: BlockDevice;
  readonly #recording: Recording;
  /** Of a flush that has arrived. */
  #place: Place | undefined;
  /** Of a write that was submitted. */
  #data: Payload | undefined;
  /** It is being submitted: an error now is the device's own, and no driver has tried anything. */
  #isEntering = false;

  constructor(original: Request, device: BlockDevice, recording: Recording) {
    this.kind = original.kind;
    this.offset = original.offset;
    this.length = original.length;
    this.fua = original.fua;
    this.mayTrim = original.mayTrim;
    this.fast = original.fast;
    this.#original = original;
    this.#device = device;
    this.#recording = recording;
  }

  submit(): void {
    this.#recording.device(this.#device.geometry);
    this.#data = this.payload;
    if (this.kind === "flush") this.#place = this.#recording.flushBegun();
    this.#isEntering = true;
    this.#device.submit(this);
    this.#isEntering = false;
  }

  reply(_: Request, errno: Errno): void {
    this.#record(errno);
    this.#original.payload = undefined;
    const reply = (): void => this.#original.requester.reply(this.#original, errno);
    const promises = errno === 0 && (this.kind === "flush" || this.fua);
    if (promises) this.#recording.whenWritten(reply);
    else reply();
  }

  #record(errno: Errno): void {
    const recording = this.#recording;
    if (this.#place !== undefined) return recording.flushEnded(this.#place, errno);
    assert(isWriter(this.kind));
    const kind = this.kind as WriterKind;
    // The device has let the data go by now, and nobody can have taken its memory before this returns.
    const data = this.#data === undefined ? [] : bytesOf(this.#data);
    if (errno === 0) recording.done(kind, this.offset, this.length, this.fua, data);
    else if (!this.#isEntering) recording.failed(kind, errno, this.offset, this.length);
  }
}

function isRecorded({ kind }: Request): boolean {
  return isWriter(kind) || kind === "flush";
}

function* bytesOf(payload: Payload): Generator<Uint8Array> {
  for (let at = 0; at < payload.length; at += MAX_SLOT_BYTES) {
    yield slotBytes(payload, at, Math.min(restOfSlot(at), payload.length - at));
  }
}
