import { overlaps } from "../block/geometry.ts";
import type { SeededRandom } from "../block/random.ts";
import { isWriter, type RequestKind } from "../block/request.ts";
import type { Entry } from "./history.ts";
import type { ClientProfile } from "./profile.ts";
import type { Draft, Program } from "./sim-client.ts";
import type { ExportFlags } from "./sim-nbd.ts";

const STOP_READING_MS = 60;
/** Ranges that a client with hot spots goes back to. */
const HOT_SPOTS = 3;

/** What one client did, or is to do: its requests in the order in which it sends them. */
export interface ClientScript {
  readonly depth: number;
  readonly thinkMs: number;
  readonly fragments: boolean;
  readonly structured: boolean;
  readonly requests: readonly ScriptedRequest[];
}

export interface ScriptedRequest extends Draft {
  /** Behind it, it hangs up. */
  readonly hangsUp?: true;
  /** … or doesn't read for so many milliseconds. */
  readonly stopsReadingMs?: number;
}

export interface RandomProgramPorts {
  readonly random: SeededRandom;
  /** Without them the session answers by itself, and there is nothing to watch. */
  readonly extents: boolean;
  faults(): boolean;
  outstanding(): readonly Entry[];
}

/** A client that does anything, as its profile says. */
export class RandomProgram implements Program {
  readonly depth: number;
  readonly fragments: boolean;
  readonly structured: boolean;
  readonly #profile: ClientProfile;
  readonly #ports: RandomProgramPorts;
  readonly #random: SeededRandom;
  readonly #timing: SeededRandom;
  readonly #hotSpots: readonly number[];
  readonly #played: ScriptedRequest[] = [];
  #left: number;
  #next = 0;
  #sinceConnected = 0;
  /** What was lost with a connection is overwritten on the next one: the worst time for it to turn up again. */
  #again: Draft[] = [];

  constructor(profile: ClientProfile, ports: RandomProgramPorts) {
    this.#profile = profile;
    this.#ports = ports;
    this.#random = ports.random;
    this.#timing = ports.random.fork();
    this.#left = profile.requests;
    this.#hotSpots = Array.from({ length: HOT_SPOTS }, () => this.#random.below(profile.windowSectors));
    this.depth = profile.depth;
    this.fragments = profile.fragments;
    this.structured = this.#random.chance(0.75);
  }

  /** What it has done so far. */
  get played(): ClientScript {
    const { depth, fragments, structured } = this;
    return { depth, thinkMs: this.#profile.thinkMs, fragments, structured, requests: this.#played };
  }

  next(offers: ExportFlags): Draft | undefined {
    if (this.#left <= 0) return undefined;
    this.#left--;
    this.#sinceConnected++;
    const draft = this.#again.shift() ?? this.#drawOrderly(offers);
    this.#played.push(draft);
    return draft;
  }

  think(): number {
    return thinkMs(this.#timing, this.#profile.thinkMs);
  }

  hangsUp(): boolean {
    const hangsUp = this.#ports.faults() && this.#sinceConnected > 3 && this.#random.chance(this.#profile.hangUp);
    if (hangsUp) this.#note({ hangsUp: true });
    return hangsUp;
  }

  stopsReadingMs(): number {
    const ms =
      this.#ports.faults() && this.#random.chance(this.#profile.stopReading) ? this.#random.below(STOP_READING_MS) : 0;
    if (ms > 0) this.#note({ stopsReadingMs: ms });
    return ms;
  }

  lost(entries: readonly Entry[]): void {
    this.#sinceConnected = 0;
    if (this.#random.chance(0.3)) return;
    const writers = entries.filter((entry) => isWriter(entry.kind)).slice(-2);
    this.#again = writers.map(({ first, count }) => ({ kind: "write", first, count }));
  }

  /** Of the last request. */
  #note(what: Omit<ScriptedRequest, keyof Draft>): void {
    const last = this.#played.pop();
    if (last !== undefined) this.#played.push({ ...last, ...what });
  }

  #drawOrderly(offers: ExportFlags): Draft {
    for (let attempts = 0; attempts < 4; attempts++) {
      const draft = this.#draw(offers);
      if (!this.#profile.orderly || !this.#conflicts(draft)) return draft;
    }
    return { kind: "flush", first: 0, count: 0 };
  }

  #draw(offers: ExportFlags): Draft {
    const { windowFirst, windowSectors, maxSectors, flush, fua } = this.#profile;
    const kind = this.#random.chance(flush) ? "flush" : this.#kind(offers);
    if (kind === "flush") return { kind, first: 0, count: 0 };
    const count = Math.min(this.#random.between(1, maxSectors), windowSectors);
    const first = windowFirst + this.#place(windowSectors - count);
    if (!isWriter(kind)) return { kind, first, count };
    const drawnFua = offers.fua && this.#random.chance(fua);
    const zero = kind === "zero";
    return {
      kind,
      first,
      count,
      fua: drawnFua,
      mayTrim: zero && this.#random.chance(0.5),
      fast: zero && offers.fastZero && this.#random.chance(0.2),
    };
  }

  /** Where a request begins, from 0 to `last`. */
  #place(last: number): number {
    switch (this.#profile.pattern) {
      case "random":
        return this.#random.below(last + 1);
      case "sequential": {
        const place = this.#next > last ? 0 : this.#next;
        this.#next = place + this.#random.between(1, this.#profile.maxSectors);
        return place;
      }
      case "hot spots":
        return Math.min(last, (this.#hotSpots[this.#random.below(HOT_SPOTS)] as number) + this.#random.below(2));
    }
  }

  #kind(offers: ExportFlags): RequestKind {
    const { mix } = this.#profile;
    let roll = this.#random.below(mix.write + mix.zero + mix.trim + mix.extents + mix.cache + mix.read);
    for (const kind of ["zero", "trim", "extents", "cache"] as const) {
      roll -= mix[kind];
      if (roll < 0 && isOffered(kind, offers, this.#ports.extents)) return kind;
    }
    return roll < mix.write ? "write" : "read";
  }

  #conflicts(draft: Draft): boolean {
    return this.#ports
      .outstanding()
      .some(
        (other) =>
          (isWriter(other.kind) || isWriter(draft.kind)) &&
          overlaps(other.first, other.count, draft.first, draft.count),
      );
  }
}

/** A client that does what a script says, as far as it is offered; at the pace of the one that it was recorded from. */
export class ScriptedProgram implements Program {
  readonly depth: number;
  readonly fragments: boolean;
  readonly structured: boolean;
  readonly #script: ClientScript;
  readonly #timing: SeededRandom;
  readonly #ports: Omit<RandomProgramPorts, "outstanding">;
  #sent = 0;

  constructor(script: ClientScript, ports: Omit<RandomProgramPorts, "outstanding">) {
    this.depth = script.depth;
    this.fragments = script.fragments;
    this.structured = script.structured;
    this.#script = script;
    this.#ports = ports;
    this.#timing = ports.random.fork();
  }

  get played(): ClientScript {
    return { ...this.#script, requests: this.#script.requests.slice(0, this.#sent) };
  }

  next(offers: ExportFlags): Draft | undefined {
    for (;;) {
      const request = this.#script.requests[this.#sent];
      if (request === undefined) return undefined;
      this.#sent++;
      const { hangsUp: _, stopsReadingMs: __, ...draft } = request;
      if (!isOffered(draft.kind, offers, this.#ports.extents)) continue;
      return draft.fua === true && !offers.fua ? { ...draft, fua: false } : draft;
    }
  }

  think(): number {
    return thinkMs(this.#timing, this.#script.thinkMs);
  }

  hangsUp(): boolean {
    return this.#ports.faults() && this.#last?.hangsUp === true;
  }

  stopsReadingMs(): number {
    return this.#ports.faults() ? (this.#last?.stopsReadingMs ?? 0) : 0;
  }

  lost(): void {}

  get #last(): ScriptedRequest | undefined {
    return this.#script.requests[this.#sent - 1];
  }
}

/** A client that does exactly this, and some of it again where the server hangs up. */
export class Script implements Program {
  readonly depth: number;
  readonly fragments = false;
  readonly structured = true;
  readonly #drafts: Draft[];

  constructor(drafts: readonly Draft[], depth: number) {
    this.#drafts = [...drafts];
    this.depth = depth;
  }

  next(): Draft | undefined {
    return this.#drafts.shift();
  }

  think(): number {
    return 0;
  }

  hangsUp(): boolean {
    return false;
  }

  stopsReadingMs(): number {
    return 0;
  }

  /** As a kernel does: what has not been answered is sent again, in its order. */
  lost(entries: readonly Entry[]): void {
    const again = entries.map(({ kind, first, count, fua, mayTrim, fast }) => ({
      kind,
      first,
      count,
      fua,
      mayTrim,
      fast,
    }));
    this.#drafts.unshift(...again);
  }
}

function isOffered(kind: RequestKind, offers: ExportFlags, extents: boolean): boolean {
  if (kind === "extents") return offers.extents && extents;
  if (kind === "zero" || kind === "trim" || kind === "cache") return offers[kind];
  return true;
}

function thinkMs(random: SeededRandom, atMost: number): number {
  return random.chance(0.5) ? 0 : random.below(atMost + 1);
}
