import { overlaps } from "../block/geometry.ts";
import { isWriter, type RequestKind } from "../block/request.ts";
import type { VirtualClock } from "./clock.ts";
import { identify, stamp } from "./content.ts";
import { describe, type Entry, type History } from "./history.ts";
import type { ClientEnd, SimConnection } from "./sim-connection.ts";
import { type ExportFlags, encodeRequest, handshake, type ReplyEvents, ReplyParser } from "./sim-nbd.ts";
import type { Trace } from "./trace.ts";
import { Violation } from "./violation.ts";

/** A request to be sent, in sectors. */
export interface Draft {
  readonly kind: RequestKind;
  readonly first: number;
  readonly count: number;
  readonly fua?: boolean;
  readonly mayTrim?: boolean;
  readonly fast?: boolean;
}

/** What a client does. Asked again and again until it says `undefined`. */
export interface Program {
  readonly depth: number;
  readonly fragments: boolean;
  readonly structured: boolean;
  next(offers: ExportFlags): Draft | undefined;
  /** Milliseconds until the next request. */
  think(): number;
  /** Hang up after this request? Only of a connection that has been used. */
  hangsUp(): boolean;
  /** Stop reading replies for so long; 0 for not. */
  stopsReadingMs(): number;
  /** These have been lost with their connection. */
  lost(entries: readonly Entry[]): void;
}

export interface SimClientPorts {
  readonly clock: VirtualClock;
  readonly trace: Trace;
  readonly history: History;
  readonly blockSize: number;
  connect(line: ClientLine, fragments: boolean): SimConnection;
  nextId(): number;
  /** A request failed; is there a reason? */
  checkError(entry: Entry, errno: number): void;
}

const RECONNECT_MS = 1;

/** A client: sends what its program says over one connection after another, and checks every reply. */
export class SimClient {
  readonly #ports: SimClientPorts;
  readonly #program: Program;
  #line: ClientLine | undefined;
  #exhausted = false;
  #sendAsked = false;
  /** Writers that were acknowledged, by the number of their connection. */
  readonly #acknowledged: { readonly entry: Entry; readonly line: ClientLine }[] = [];

  constructor(ports: SimClientPorts, program: Program) {
    this.#ports = ports;
    this.#program = program;
  }

  start(): void {
    this.#line = new ClientLine(this.#ports, this.#program, {
      ready: () => this.#sendSoon(),
      replied: (entry, line) => {
        if (isWriter(entry.kind) && entry.errno === 0) this.#acknowledged.push({ entry, line });
        this.#sendSoon();
      },
      closed: (line) => {
        if (line === this.#line) this.#reconnect(line);
      },
      superseded: (entry, line) =>
        this.#acknowledged.find(
          (later) =>
            later.line.number > line.number && overlaps(later.entry.first, later.entry.count, entry.first, entry.count),
        )?.entry,
    });
  }

  /** Everything has been sent and answered, but for what was lost with its connection. */
  get finished(): boolean {
    return this.#exhausted && this.#line?.outstanding.length === 0;
  }

  /** What it waits for. */
  get waitsFor(): readonly Entry[] {
    return this.#line?.outstanding ?? [];
  }

  /** What it has waited for longest, and since when. */
  get longestWait(): { readonly entry: Entry; readonly since: number } | undefined {
    return this.#line?.longestWait;
  }

  #sendSoon(): void {
    if (this.#sendAsked) return;
    this.#sendAsked = true;
    this.#ports.clock.after(this.#program.think(), () => {
      this.#sendAsked = false;
      this.#send();
    });
  }

  #send(): void {
    const line = this.#line;
    if (line === undefined || !line.ready || this.#exhausted || line.outstanding.length >= this.#program.depth) return;
    const draft = this.#program.next(line.offers);
    if (draft === undefined) {
      this.#exhausted = true;
      return;
    }
    line.send(draft);
    line.stopReading(this.#program.stopsReadingMs());
    if (this.#program.hangsUp()) return this.#reconnect(line);
    this.#sendSoon();
  }

  #reconnect(line: ClientLine): void {
    this.#line = undefined;
    this.#program.lost(line.outstanding);
    line.hangUp();
    this.#ports.clock.after(RECONNECT_MS, () => this.start());
  }
}

interface LineEvents {
  ready(): void;
  replied(entry: Entry, line: ClientLine): void;
  closed(line: ClientLine): void;
  /** A writer acknowledged on a later connection that overlaps this one. */
  superseded(entry: Entry, line: ClientLine): Entry | undefined;
}

interface Waiting {
  readonly entry: Entry;
  /** When it was sent, in milliseconds. */
  readonly since: number;
  /** What a read has brought so far. */
  data: Uint8Array | undefined;
  covered: number;
  /** Extents so far, in bytes from the start of the request. */
  described: number;
}

/** One connection of a client, seen from its end. */
export class ClientLine implements ClientEnd, ReplyEvents {
  ready = false;
  offers: ExportFlags = { trim: false, zero: false, cache: false, fastZero: false, fua: false, extents: false };
  /** In the order of the bytes. */
  readonly sent: Entry[] = [];
  hungUp = false;
  readonly #ports: SimClientPorts;
  readonly #events: LineEvents;
  readonly #connection: SimConnection;
  readonly #parser: ReplyParser;
  readonly #waiting = new Map<number, Waiting>();

  constructor(ports: SimClientPorts, program: Program, events: LineEvents) {
    this.#ports = ports;
    this.#events = events;
    this.#parser = new ReplyParser(this, program.structured);
    this.#connection = ports.connect(this, program.fragments);
    ports.trace.add("connect", this.number, 0, 0, 0);
    this.#connection.write(handshake("disk", program.structured));
  }

  get number(): number {
    return this.#connection.number;
  }

  get outstanding(): readonly Entry[] {
    return [...this.#waiting.values()].map(({ entry }) => entry);
  }

  get longestWait(): Waiting | undefined {
    const [first] = this.#waiting.values();
    return first;
  }

  /** A writer of this connection that the device takes only now, although the client has hung up and gone on. */
  superseded(entry: Entry): Entry | undefined {
    return this.hungUp && isWriter(entry.kind) ? this.#events.superseded(entry, this) : undefined;
  }

  send(draft: Draft): void {
    const { blockSize, trace, clock } = this.#ports;
    const entry: Entry = {
      id: this.#ports.nextId(),
      fua: false,
      mayTrim: false,
      fast: false,
      ...draft,
      arrival: 0,
      arrivedAt: 0,
      repliedAt: 0,
      errno: undefined,
    };
    let payload: Uint8Array | undefined;
    if (entry.kind === "write") {
      payload = new Uint8Array(entry.count * blockSize);
      for (let i = 0; i < entry.count; i++) {
        stamp(payload.subarray(i * blockSize, (i + 1) * blockSize), entry.first + i, entry.id);
      }
    }
    if (trace.recording) trace.add("send", this.number, entry.first, entry.count, entry.id, describe(entry));
    else trace.add("send", this.number, entry.first, entry.count, entry.id);
    this.sent.push(entry);
    this.#waiting.set(entry.id, { entry, since: clock.now(), data: undefined, covered: 0, described: 0 });
    this.#connection.write(encodeRequest(entry, blockSize, payload));
  }

  hangUp(): void {
    if (this.hungUp) return;
    this.hungUp = true;
    this.#ports.trace.add("hang up", this.number, 0, 0, 0);
    this.#connection.hangUp();
  }

  stopReading(ms: number): void {
    if (ms > 0) this.#connection.stopReading(ms);
  }

  // ── What comes back ─────────────────────────────────────────────────────────────────────────────────────────────

  received(bytes: Uint8Array): void {
    if (!this.hungUp) this.#parser.push(bytes);
  }

  closed(): void {
    if (!this.hungUp) this.#events.closed(this);
  }

  granted(offers: ExportFlags): void {
    this.offers = offers;
    this.ready = true;
    this.#events.ready();
  }

  nonsense(what: string): void {
    throw new Violation("P7", `connection ${this.number}: ${what}`);
  }

  dataLength(id: number): number {
    const { entry } = this.#find(id);
    return entry.kind === "read" ? entry.count * this.#ports.blockSize : 0;
  }

  data(id: number, offset: number | undefined, bytes: Uint8Array): void {
    const waiting = this.#find(id);
    this.#room(waiting, offset, bytes.length).set(bytes);
  }

  hole(id: number, offset: number, length: number): void {
    this.#room(this.#find(id), offset, length).fill(0);
  }

  extent(id: number, length: number, flags: number): void {
    const waiting = this.#find(id);
    const { entry } = waiting;
    const { blockSize, history } = this.#ports;
    if (entry.kind !== "extents" || length === 0 || length % blockSize !== 0 || flags > 3) {
      throw new Violation("P7", `an extent of ${length} bytes with flags ${flags} for ${describe(entry)}`);
    }
    const first = entry.first + waiting.described / blockSize;
    waiting.described += length;
    const end = Math.min(first + length / blockSize, entry.first + entry.count);
    if ((flags & 2) !== 0) for (let sector = first; sector < end; sector++) history.checkZero(entry, sector);
  }

  reply(id: number, errno: number): void {
    const waiting = this.#find(id);
    const { entry } = waiting;
    if (entry.errno !== errno) {
      const device = entry.errno === undefined ? "not at all" : `with ${entry.errno}`;
      throw new Violation("P7", `${describe(entry)} is answered with ${errno}, by the device ${device}`, entry.first);
    }
    this.#waiting.delete(id);
    this.#ports.trace.add("receive", this.number, entry.first, entry.count, entry.id, `errno ${errno}`);
    if (errno !== 0) this.#ports.checkError(entry, errno);
    else if (entry.kind === "read") this.#checkData(waiting);
    else if (entry.kind === "extents" && waiting.described === 0) {
      throw new Violation("P7", `${describe(entry)} is answered without an extent`);
    }
    this.#events.replied(entry, this);
  }

  #checkData({ entry, data, covered }: Waiting): void {
    const { blockSize, history } = this.#ports;
    if (data === undefined || covered !== data.length) {
      throw new Violation("P7", `${describe(entry)} brought ${covered} bytes`, entry.first);
    }
    for (let i = 0; i < entry.count; i++) {
      const sector = entry.first + i;
      history.checkRead(entry, sector, identify(data.subarray(i * blockSize, (i + 1) * blockSize), sector));
    }
  }

  #room(waiting: Waiting, offset: number | undefined, length: number): Uint8Array {
    const { entry } = waiting;
    const { blockSize } = this.#ports;
    waiting.data ??= new Uint8Array(entry.count * blockSize);
    const at = offset === undefined ? 0 : offset - entry.first * blockSize;
    if (entry.kind !== "read" || at < 0 || at + length > waiting.data.length) {
      throw new Violation("P7", `${length} bytes of data at ${offset} for ${describe(entry)}`, entry.first);
    }
    waiting.covered += length;
    return waiting.data.subarray(at, at + length);
  }

  #find(id: number): Waiting {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) throw new Violation("P7", `a reply to #${id}, which is not outstanding`);
    return waiting;
  }
}
