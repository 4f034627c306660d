import { minimumLogBytes } from "../home/log/format.ts";
import type { DeviceLimits } from "../shadow/limits.ts";
import { SAMPLED_BLOCKS } from "../shadow/store-check.ts";
import type { SeededRandom } from "./random.ts";
import { drawSickness, drawThemes, type Sickness, type Theme } from "./sickness.ts";

/** What kind of world a seed makes. Times in milliseconds of virtual time; chances are probabilities. */
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
  /** When the faults end, whether or not the clients have come to their end. */
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
}

export interface ClientProfile {
  readonly requests: number;
  readonly depth: number;
  readonly maxSectors: number;
  /** Requests go to the sectors from here on; a small window makes overlaps. */
  readonly windowFirst: number;
  readonly windowSectors: number;
  readonly fua: number;
  readonly flush: number;
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
  readonly bogus: number;
  readonly destage: number;
  /** How long it may take until a dead or killed one is reaped. */
  readonly reapMs: number;
  /** Sectors that can't be written until the faults end; none if 0. */
  readonly badSectors: number;
  readonly badFirst: number;
}

/** For who makes nothing durable: more than the clients of a world write. */
const LIARS_WRITE_BYTES = 16 << 20;
/** Until a world's poison has been found, request by request. */
const POISON_MS = 900_000;

export function drawProfile(random: SeededRandom): Profile {
  const large = random.chance(0.03);
  const sectors = large ? 48 : random.between(48, 160);
  const blockSize = large ? 65536 : random.pick([512, 512, 512, 4096]);
  const tight = random.chance(0.4);
  const clients: [ClientProfile, ...ClientProfile[]] = [drawClient(random, sectors, large, tight)];
  for (let i = random.below(3); i > 0; i--) clients.push(drawClient(random, sectors, large, tight));
  const slot = blockSize * (large ? 32 : 16);
  const driver = drawDriver(random, sectors);
  const themes = drawThemes(random);
  const profile = {
    sectors,
    blockSize,
    clients,
    driver,
    sickness: drawSickness(random, themes, random.pick(clients)),
    home: IN_MEMORY,
    limits: {
      pieces: tight ? random.between(6, 24) : 4096,
      flushShare: tight ? 0.5 : random.pick([0.5, 0.9]),
      cheapFlushBytes: random.pick([slot, 4 << 20]),
      flushAgeMs: random.pick([50, 500, 5000]),
      flushRetryMs: random.pick([20, 1000]),
      stallTimeoutMs: random.pick([300, 30_000]),
      digestBytes: 1 << 20,
    },
    inFlightRequests: tight ? random.between(2, 6) : 256,
    writeBytes: tight ? slot * random.between(2, 4) : slot * 48,
    // The device keeps some of it, to look whether a store is the same.
    readBytes: SAMPLED_BLOCKS * blockSize + (tight ? Math.max(slot * 2, 2 * 65536) : slot * 64 + 16 * 65536),
    faultMs: 60_000,
  };
  return withHome(adapt(profile, themes, random), random);
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

function withHome(profile: Profile, random: SeededRandom): Profile {
  const { newcomer, poison } = profile.sickness;
  // Who makes nothing durable has to be given more memory than a log is read into.
  const kinds = ["memory", "memory", "memory", "shm", newcomer?.character === "liar" ? "shm" : "disk"] as const;
  const kind = random.pick(kinds);
  if (kind === "memory") return profile;
  // What another store is known by dies with the front.
  const deaths = newcomer?.character === "foreign" ? 0 : random.pick([0, 2, 6, 10]);
  const powerFails = kind === "disk" && random.chance(0.7);
  const home = {
    kind,
    deaths,
    powerFails,
    // Who stops believes a newcomer on probation, a liar too; and one that dies of its last flush dies of it again and again.
    handsOver: poison === undefined && newcomer?.character !== "liar",
    startMs: random.pick([1, 50, 500]),
    logBytes: 0,
    requestBytes: 0,
    logMs: random.pick([2, 5, 40]),
  };
  if (kind === "shm") return { ...profile, home };
  return onDisk({ ...profile, home }, random.pick([1, 1, 4]));
}

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

/** Some kinds of sickness show only where others are absent. */
function adapt(profile: Profile, themes: ReadonlySet<Theme>, random: SeededRandom): Profile {
  const { newcomer } = profile.sickness;
  let { driver, sickness, limits, writeBytes, faultMs } = profile;
  if (themes.has("poison")) faultMs = POISON_MS;
  // An error has one reason only: it has been convicted.
  if (themes.has("poison") && random.chance(0.75)) driver = withoutErrors(driver);
  if (themes.has("poison") && random.chance(0.75)) {
    driver = withoutDeaths(driver);
    const deaths = random.chance(0.7) ? (["signal", "exit"] as const) : sickness.deaths;
    sickness = { ...sickness, hang: 0, operator: false, deaths };
  }
  // A write that has failed leaves what nobody is held to.
  if (themes.has("lie")) driver = withoutErrors(driver);
  if (newcomer?.character === "foreign") {
    // One block at least has to be read for the store to be known by.
    driver = withoutDeaths(driver);
    sickness = { ...sickness, hang: 0, poison: undefined, operator: false };
  }
  if (newcomer?.character === "liar") {
    // Where there is no room for what it only says is durable, it has to be believed.
    limits = { ...limits, pieces: 1 << 14 };
    writeBytes = LIARS_WRITE_BYTES;
    // Its death has to be seen before its probation is over.
    driver = { ...driver, reapMs: 20 };
  }
  return { ...profile, driver, sickness, limits, writeBytes, faultMs };
}

function withoutErrors(driver: DriverProfile): DriverProfile {
  return { ...driver, refuse: 0, refuseFua: 0, flushFails: 0, badSectors: 0, bogus: 0 };
}

function withoutDeaths(driver: DriverProfile): DriverProfile {
  return { ...withoutErrors(driver), crash: 0, crashInOpen: 0, openFails: 0, openHangs: 0, reapMs: 20 };
}

function drawClient(random: SeededRandom, sectors: number, large: boolean, tight: boolean): ClientProfile {
  const windowSectors = random.chance(0.6) ? random.between(8, 24) : sectors;
  return {
    requests: large ? 15 : random.between(20, 60),
    depth: random.pick([1, 4, 8, 16]),
    maxSectors: large ? 20 : random.pick([4, 8, 16]),
    windowFirst: random.below(sectors - windowSectors + 1),
    windowSectors,
    fua: random.pick([0, 0.15, 0.3]),
    flush: random.pick([0.02, 0.08, 0.2]),
    orderly: random.chance(0.4),
    hangUp: random.pick([0, 0.01, tight ? 0.06 : 0.03]),
    stopReading: random.pick([0, 0, 0.02]),
    thinkMs: random.pick([0, 1, 10]),
    fragments: random.chance(0.3),
  };
}

function drawDriver(random: SeededRandom, sectors: number): DriverProfile {
  const faulty = random.chance(0.9);
  const some = (chance: number, value: number): number => (faulty && random.chance(chance) ? value : 0);
  return {
    depth: random.pick([2, 8, 64]),
    fua: random.chance(0.5),
    trim: random.chance(0.7),
    zero: random.chance(0.7),
    extents: random.chance(0.7),
    delayMs: random.pick([1, 5, 20]),
    crash: some(0.85, random.pick([0.003, 0.01, 0.02])),
    crashInOpen: some(0.3, 0.3),
    openFails: some(0.15, 0.3),
    openHangs: some(0.05, 0.2),
    refuse: some(0.35, random.pick([0.01, 0.05])),
    refuseFua: some(0.5, random.pick([0.1, 0.4])),
    flushFails: some(0.4, random.pick([0.1, 0.4])),
    flushForgets: random.chance(0.6),
    bogus: some(0.1, 0.005),
    destage: random.pick([0, 0.05, 0.5]),
    reapMs: random.pick([1, 20, 20, 3000]),
    badSectors: some(0.1, random.between(1, 8)),
    badFirst: random.below(sectors - 8),
  };
}
