import type { RequestKind } from "../block/request.ts";
import { minimumLogBytes } from "../home/log/format.ts";
import type { DeviceLimits } from "../shadow/limits.ts";
import { HEALTHY, type Sickness } from "./sickness.ts";

/** What kind of world a seed makes: a plain value, as JSON has them. Milliseconds of virtual time; chances are probabilities. */
export interface Profile {
  readonly sectors: number;
  readonly blockSize: number;
  readonly clients: readonly ClientProfile[];
  readonly driver: DriverProfile;
  readonly sickness: Sickness;
  readonly home: HomeProfile;
  readonly limits: DeviceLimits;
  /** Of one connection. */
  readonly inFlightRequests: number;
  readonly writeBytes: number;
  readonly readBytes: number;
  /** When the faults end, after the clients have come, whether or not these have come to their end. */
  readonly faultMs: number;
}

/** Where the shadow lives, and what becomes of the fronts that it outlives. */
export interface HomeProfile {
  readonly kind: "memory" | "shm" | "disk";
  /** Fronts that die. */
  readonly deaths: number;
  /** … some of them of a power cut. */
  readonly powerFails: boolean;
  /** … or, instead of dying, end in order. */
  readonly handsOver: boolean;
  /** From a front's death to the next one's start, at most. */
  readonly startMs: number;
  /** Of a log, in bytes; and of the largest request. */
  readonly logBytes: number;
  readonly requestBytes: number;
  /** What its disk takes at most, for a write or a sync. */
  readonly logMs: number;
  /** When its disk breaks down, after the clients have come; never if `undefined`. */
  readonly logFailsAtMs?: number | undefined;
}

export interface ClientProfile {
  readonly requests: number;
  readonly depth: number;
  readonly maxSectors: number;
  /** Requests go to the sectors from here on; a small window makes overlaps. */
  readonly windowFirst: number;
  readonly windowSectors: number;
  /** How often each kind is asked for, in proportion to the others; and what share of all requests are flushes, of writers FUA. */
  readonly mix: Readonly<Record<Exclude<RequestKind, "flush">, number>>;
  readonly flush: number;
  readonly fua: number;
  /** Where its requests go, within its window. */
  readonly pattern: "random" | "sequential" | "hot spots";
  /** Never sends what conflicts with what it has outstanding. */
  readonly orderly: boolean;
  readonly hangUp: number;
  /** Stops reading its replies for a while. */
  readonly stopReading: number;
  readonly thinkMs: number;
  /** The byte stream arrives in small pieces. */
  readonly fragments: boolean;
}

export interface DriverProfile {
  readonly depth: number;
  readonly fua: boolean;
  readonly trim: boolean;
  readonly zero: boolean;
  readonly extents: boolean;
  readonly delayMs: number;
  /** Sectors that one zero or trim may concern. */
  readonly effectSectors: number;
  /** Per step: before and after applying a submission, before and after delivering its completion. */
  readonly crash: number;
  readonly crashInOpen: number;
  readonly openFails: number;
  readonly openHangs: number;
  readonly refuse: number;
  /** The same for FUA writes that the driver makes durable itself: each failure is one of a flush, too. */
  readonly refuseFua: number;
  readonly flushFails: number;
  /** What a failed flush does with what it has not written. */
  readonly flushForgets: boolean;
  /** Completions that break the rules of the link. */
  readonly bogus: number;
  readonly destage: number;
  /** How long it may take until a dead or killed one is reaped. */
  readonly reapMs: number;
  /** Sectors that can't be written until the faults end; none if 0. */
  readonly badSectors: number;
  readonly badFirst: number;
}

/** Nothing outlives the front. */
export const IN_MEMORY: HomeProfile = {
  kind: "memory",
  deaths: 0,
  powerFails: false,
  handsOver: false,
  startMs: 0,
  logBytes: 0,
  requestBytes: 0,
  logMs: 0,
};

/** With a log of so many times the least size, and memory that all of it can be read into. */
export function onDisk(profile: Profile, times: number): Profile {
  const sizes = profile.clients.map(({ maxSectors }) => maxSectors * profile.blockSize);
  const requestBytes = Math.max(profile.home.requestBytes, ...sizes);
  const logBytes = times * minimumLogBytes({ requestBytes });
  // A slot is a power of two.
  const least = 2 ** Math.ceil(Math.log2(logBytes / 2));
  const home = { ...profile.home, requestBytes, logBytes };
  return { ...profile, home, writeBytes: Math.max(profile.writeBytes, least) };
}

/** What a profile is without anything remarkable. */
export function plainProfile({ sectors, blockSize }: Pick<Profile, "sectors" | "blockSize">): Profile {
  const bytes = Math.max(blockSize * 1024, 1 << 20);
  return {
    sectors,
    blockSize,
    clients: [],
    driver: {
      depth: 64,
      fua: false,
      trim: false,
      zero: false,
      extents: false,
      delayMs: 1,
      effectSectors: 1 << 20,
      crash: 0,
      crashInOpen: 0,
      openFails: 0,
      openHangs: 0,
      refuse: 0,
      refuseFua: 0,
      flushFails: 0,
      flushForgets: false,
      bogus: 0,
      destage: 0,
      reapMs: 1,
      badSectors: 0,
      badFirst: 0,
    },
    sickness: HEALTHY,
    home: IN_MEMORY,
    limits: {
      pieces: 4096,
      flushShare: 0.9,
      cheapFlushBytes: 4 << 20,
      flushAgeMs: 5000,
      flushRetryMs: 1000,
      stallTimeoutMs: 30_000,
      digestBytes: 1 << 20,
    },
    inFlightRequests: 256,
    writeBytes: Math.min(bytes, 8 << 20),
    readBytes: Math.min(bytes + (4 << 20), 16 << 20),
    faultMs: 60_000,
  };
}
