import { strict as assert } from "node:assert";
import type { Errno } from "../block/errors.ts";
import type { Geometry } from "../block/geometry.ts";
import { PlainMemory } from "../block/plain-memory.ts";
import type { Request, Requester, RequestKind } from "../block/request.ts";
import { Device, type DeviceOptions } from "./device.ts";
import type { DeviceLimits } from "./limits.ts";
import type { Clock, DriverInfo, DriverRef, Link, Log, Operation, Random, Timer } from "./ports.ts";
import type { Suspicion } from "./trial.ts";

export const SECTOR = 512;

export const GEOMETRY: Geometry = {
  size: 1 << 30,
  blockSize: SECTOR,
  readOnly: false,
  fua: false,
  trim: true,
  zero: true,
  extents: true,
};

export const SILENT_LOG: Log = { info: () => {}, warn: () => {}, error: () => {} };
export const DRIVER: DriverRef = { kind: "test" };
export const NO_CHANCE: Random = { below: () => 0 };

export function newRequest(
  kind: RequestKind,
  sector: number,
  sectors: number,
  { fua = false, fast = false }: { fua?: boolean; fast?: boolean },
  reply: Requester["reply"],
): Request {
  return {
    kind,
    offset: sector * SECTOR,
    length: kind === "flush" ? 0 : sectors * SECTOR,
    fua,
    fast,
    mayTrim: false,
    payload: undefined,
    extents: undefined,
    requester: { reply },
  };
}

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #now = 0;
  #timers: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): Timer {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  /** Timers that are neither due nor cancelled. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Lets time pass, and runs what falls due in it. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = until;
  }
}

/** Memory for writes, too: no driver looks where its zeroes are. */
export class HeapMemory extends PlainMemory {
  readonly zeroes = 0;
}

/** What was submitted to a {@link ManualLink}. */
export interface Submitted {
  readonly tag: number;
  readonly operation: Operation;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

/** A link whose driver does nothing until the test completes a submission by hand. */
export class ManualLink implements Link {
  readonly epoch: number;
  readonly depth: number;
  readonly patience = 1;
  maxEffect = Number.MAX_SAFE_INTEGER;
  /** Submitted and not completed, in order. */
  pending: Submitted[] = [];
  #device: Device;

  constructor(device: Device, epoch: number, depth = 16) {
    this.#device = device;
    this.epoch = epoch;
    this.depth = depth;
  }

  submit(tag: number, operation: Operation, flags: number, offset: number, length: number): void {
    assert(this.pending.length < this.depth, "the depth of the link is exceeded");
    this.pending.push({ tag, operation, flags, offset, length });
  }

  kick(): void {}

  /** Completes the oldest pending submission of this kind, at this offset if one is given. */
  complete(operation: Operation, at?: number, errno: Errno = 0): void {
    const submitted = this.pending.find(
      (one) => one.operation === operation && (at === undefined || one.offset === at),
    );
    assert(submitted !== undefined, `no ${operation} is pending${at === undefined ? "" : ` at ${at}`}`);
    this.pending = this.pending.filter((one) => one !== submitted);
    const bytes = operation === "read" || operation === "write" ? submitted.length : 0;
    assert.equal(this.#device.complete(this.epoch, submitted.tag, errno, bytes), undefined);
    this.#device.kick();
  }

  /** "write 0", "flush": what is pending, for comparing. */
  get summary(): string[] {
    return this.pending.map(({ operation, offset }) => (operation === "flush" ? operation : `${operation} ${offset}`));
  }
}

export interface BenchOptions extends DeviceOptions {
  geometry?: Partial<Geometry>;
  limits?: Partial<DeviceLimits>;
  writes?: HeapMemory;
  writeBytes?: number;
}

/** A device with everything around it under the test's control. */
export class Bench {
  readonly clock = new ManualClock();
  readonly writes: HeapMemory;
  readonly reads = new HeapMemory();
  readonly device: Device;
  readonly geometry: Geometry;
  readonly replies = new Map<Request, Errno>();
  link: ManualLink;
  replayed = 0;
  mismatches: string[] = [];
  /** Clients that the device may have cut off because they keep memory for nothing. */
  cutOffIdleWriters = (): number => 0;
  /** Errors in the operator's log. */
  readonly errors: string[] = [];
  #epoch = 0;

  constructor(options: BenchOptions = {}) {
    this.writes = options.writes ?? new HeapMemory(options.writeBytes);
    this.geometry = { ...GEOMETRY, ...options.geometry };
    const { clock, writes, reads } = this;
    this.device = new Device(
      {
        name: "test",
        clock,
        random: NO_CHANCE,
        log: { ...SILENT_LOG, error: (message) => this.errors.push(message) },
        writes,
        reads,
        shortOfReads: () => {},
        cutOffIdleWriters: () => this.cutOffIdleWriters(),
      },
      options.limits,
      options,
    );
    this.link = this.attach();
  }

  attach(info: Partial<DriverInfo> = {}, driver: DriverRef = DRIVER): ManualLink {
    this.link = new ManualLink(this.device, ++this.#epoch);
    this.device.attach(this.link, { geometry: this.geometry, identity: undefined, discards: false, ...info }, driver, {
      replayed: () => this.replayed++,
      mismatch: (what) => this.mismatches.push(what),
    });
    return this.link;
  }

  /** The incarnation dies, is reaped, and the next one opens. */
  restart(suspicion: Suspicion = { blame: "nobody" }): ManualLink {
    this.device.detach(suspicion);
    this.device.reaped();
    return this.attach();
  }

  request(kind: RequestKind, sector = 0, sectors = 1, flags: { fua?: boolean; fast?: boolean } = {}): Request {
    return newRequest(kind, sector, sectors, flags, (request, errno) => {
      assert(!this.replies.has(request), "a second reply");
      this.replies.set(request, errno);
    });
  }

  /** Admits and submits a request; a write's sectors are filled with `fill`. */
  send(
    kind: RequestKind,
    sector = 0,
    sectors = 1,
    flags: { fua?: boolean; fast?: boolean; fill?: number } = {},
  ): Request {
    const request = this.request(kind, sector, sectors, flags);
    assert.equal(this.device.admit(request), "admitted");
    if (kind === "write") for (const slot of request.payload?.slots ?? []) slot.bytes.fill(flags.fill ?? 1);
    this.device.submit(request);
    this.device.kick();
    return request;
  }

  /** Sends a request and completes what it needs. */
  done(
    kind: "write" | "zero" | "trim" | "flush",
    sector = 0,
    sectors = 1,
    flags: { fua?: boolean; fill?: number } = {},
  ): void {
    const request = this.send(kind, sector, sectors, flags);
    this.link.complete(kind, kind === "flush" ? undefined : sector * SECTOR);
    if (flags.fua === true && !this.geometry.fua) this.link.complete("flush");
    assert.equal(this.replies.get(request), 0);
  }
}
