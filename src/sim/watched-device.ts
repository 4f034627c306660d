import type { Errno } from "../block/errors.ts";
import type { Geometry } from "../block/geometry.ts";
import { isWriter, type Request, type Requester } from "../block/request.ts";
import type { BlockDevice } from "../shadow/ports.ts";
import { describe, type Entry, type History } from "./history.ts";
import type { ClientLine } from "./sim-client.ts";
import type { Trace } from "./trace.ts";
import { Violation } from "./violation.ts";

interface Pair {
  /** What the session made. */
  readonly original: Request;
  readonly entry: Entry;
}

/** Who else wants to know what goes in and out. */
export interface Witness {
  /** The device has got this. */
  asked(entry: Entry): void;
  /** It is about to answer this. */
  answers(entry: Entry, errno: Errno): void;
  /** It has no room for one now. */
  waits(writer: boolean): void;
  /** One that had room is given up by its session. */
  abandons(kind: Request["kind"]): void;
}

/**
 * The device as one session sees it, watched: each request has to be the next one of the connection's bytes, and is
 * written into the history when the device takes it and when it answers. The device is handed twins of the requests.
 */
export class WatchedDevice implements BlockDevice, Requester {
  readonly reads: BlockDevice["reads"];
  readonly #device: BlockDevice;
  readonly #line: ClientLine;
  readonly #history: History;
  readonly #trace: Trace;
  readonly #witness: Witness;
  readonly #twins = new Map<Request, Request>();
  readonly #pairs = new Map<Request, Pair>();
  #taken = 0;

  constructor(device: BlockDevice, line: ClientLine, history: History, trace: Trace, witness: Witness) {
    this.#device = device;
    this.reads = device.reads;
    this.#line = line;
    this.#history = history;
    this.#trace = trace;
    this.#witness = witness;
  }

  get geometry(): Geometry {
    return this.#device.geometry;
  }

  admit(request: Request): "admitted" | "wait" | Errno {
    const twin = this.#twinOf(request);
    const answer = this.#device.admit(twin);
    request.payload = twin.payload;
    if (typeof answer === "number") this.#next(request).errno = answer;
    if (answer === "wait") this.#witness.waits(isWriter(request.kind));
    if (answer !== "wait" && answer !== "admitted") this.#twins.delete(request);
    return answer;
  }

  whenRoom(request: Request, callback: () => void): () => void {
    return this.#device.whenRoom(this.#twinOf(request), callback);
  }

  submit(request: Request): void {
    const twin = this.#twinOf(request);
    this.#twins.delete(request);
    const entry = this.#next(request);
    const newer = this.#line.superseded(entry);
    if (newer !== undefined) {
      const what = `${describe(entry)} of a dead connection is taken after ${describe(newer)}, its client's next one`;
      throw new Violation("P3", what, Math.max(entry.first, newer.first));
    }
    this.#trace.add("arrive", this.#line.number, entry.first, entry.count, entry.id, entry.kind);
    this.#history.arrived(entry);
    this.#witness.asked(entry);
    this.#pairs.set(twin, { original: request, entry });
    this.#device.submit(twin);
  }

  abandon(request: Request): void {
    const twin = this.#twinOf(request);
    this.#twins.delete(request);
    this.#witness.abandons(request.kind);
    this.#device.abandon(twin);
  }

  kick(): void {
    this.#device.kick();
  }

  reply(twin: Request, errno: Errno): void {
    const pair = this.#pairs.get(twin);
    if (pair === undefined) throw new Violation("P7", `a ${twin.kind} is answered that was not asked`);
    const { original, entry } = pair;
    this.#trace.add("reply", this.#line.number, entry.first, entry.count, entry.id, `errno ${errno}`);
    this.#witness.answers(entry, errno);
    this.#history.replied(entry, errno);
    original.payload = twin.payload;
    original.extents = twin.extents;
    original.requester.reply(original, errno);
  }

  #twinOf(request: Request): Request {
    let twin = this.#twins.get(request);
    if (twin === undefined) {
      const { kind, offset, length, fua, mayTrim, fast, payload, extents } = request;
      twin = { kind, offset, length, fua, mayTrim, fast, payload, extents, requester: this };
      this.#twins.set(request, twin);
    }
    return twin;
  }

  /** The next request of the connection's bytes, which this one has to be. */
  #next(request: Request): Entry {
    const entry = this.#line.sent[this.#taken++];
    const { blockSize } = this.#device.geometry;
    const same =
      entry !== undefined &&
      entry.kind === request.kind &&
      entry.fua === request.fua &&
      entry.first * blockSize === request.offset &&
      entry.count * blockSize === request.length;
    if (!same) {
      const wanted = entry === undefined ? "nothing" : describe(entry);
      throw new Violation("P3", `the session asks for ${request.kind} at ${request.offset}, the client for ${wanted}`);
    }
    return entry;
  }
}
