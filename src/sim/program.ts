import { overlaps } from "../block/geometry.ts";
import { isWriter, type RequestKind } from "../block/request.ts";
import type { Entry } from "./history.ts";
import type { ClientProfile } from "./profile.ts";
import type { SeededRandom } from "./random.ts";
import type { Draft, Program } from "./sim-client.ts";
import type { ExportFlags } from "./sim-nbd.ts";

const STOP_READING_MS = 60;

/** A client that does anything, as its profile says. */
export class RandomProgram implements Program {
  readonly depth: number;
  readonly fragments: boolean;
  readonly structured: boolean;
  readonly #profile: ClientProfile;
  readonly #random: SeededRandom;
  readonly #faults: () => boolean;
  readonly #outstanding: () => readonly Entry[];
  /** Without them the session answers by itself, and there is nothing to watch. */
  readonly #extents: boolean;
  #left: number;
  #sinceConnected = 0;
  /** What was lost with a connection is overwritten on the next one: the worst time for it to turn up again. */
  #again: Draft[] = [];

  constructor(
    profile: ClientProfile,
    ports: { random: SeededRandom; extents: boolean; faults: () => boolean; outstanding: () => readonly Entry[] },
  ) {
    this.#profile = profile;
    this.#random = ports.random;
    this.#faults = ports.faults;
    this.#outstanding = ports.outstanding;
    this.#extents = ports.extents;
    this.#left = profile.requests;
    this.depth = profile.depth;
    this.fragments = profile.fragments;
    this.structured = this.#random.chance(0.75);
  }

  next(offers: ExportFlags): Draft | undefined {
    if (this.#left <= 0) return undefined;
    this.#left--;
    this.#sinceConnected++;
    const again = this.#again.shift();
    if (again !== undefined) return again;
    for (let attempts = 0; attempts < 4; attempts++) {
      const draft = this.#draw(offers);
      if (!this.#profile.orderly || !this.#conflicts(draft)) return draft;
    }
    return { kind: "flush", first: 0, count: 0 };
  }

  think(): number {
    return this.#random.chance(0.5) ? 0 : this.#random.below(this.#profile.thinkMs + 1);
  }

  hangsUp(): boolean {
    return this.#faults() && this.#sinceConnected > 3 && this.#random.chance(this.#profile.hangUp);
  }

  stopsReadingMs(): number {
    return this.#faults() && this.#random.chance(this.#profile.stopReading) ? this.#random.below(STOP_READING_MS) : 0;
  }

  lost(entries: readonly Entry[]): void {
    this.#sinceConnected = 0;
    if (this.#random.chance(0.3)) return;
    const writers = entries.filter((entry) => isWriter(entry.kind)).slice(-2);
    this.#again = writers.map(({ first, count }) => ({ kind: "write", first, count }));
  }

  #draw(offers: ExportFlags): Draft {
    const { windowFirst, windowSectors, maxSectors, flush, fua } = this.#profile;
    const kind = this.#kind(offers, flush);
    if (kind === "flush") return { kind, first: 0, count: 0 };
    const count = Math.min(this.#random.between(1, maxSectors), windowSectors);
    const first = windowFirst + this.#random.below(windowSectors - count + 1);
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

  #kind(offers: ExportFlags, flush: number): RequestKind {
    if (this.#random.chance(flush)) return "flush";
    const roll = this.#random.below(100);
    if (roll < 50) return "write";
    if (roll < 58 && offers.zero) return "zero";
    if (roll < 61 && offers.trim) return "trim";
    if (roll < 65 && offers.extents && this.#extents) return "extents";
    if (roll < 67 && offers.cache) return "cache";
    return "read";
  }

  #conflicts(draft: Draft): boolean {
    return this.#outstanding().some(
      (other) =>
        (isWriter(other.kind) || isWriter(draft.kind)) && overlaps(other.first, other.count, draft.first, draft.count),
    );
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
