import { SeededRandom } from "../block/random.ts";
import { SAMPLED_BLOCKS } from "../shadow/store-check.ts";
import { drawSickness } from "./draw-sickness.ts";
import { type ClientProfile, type DriverProfile, IN_MEMORY, onDisk, type Profile } from "./profile.ts";
import { drawSwarm, type Swarm } from "./swarm.ts";

/** For who makes nothing durable: more than the clients of a world write. */
const LIARS_WRITE_BYTES = 16 << 20;
/** Until a world's poison has been found, request by request. */
const POISON_MS = 900_000;
/** Faults that end before the clients do end within so long. */
const CALM_WITHIN_MS = 400;
/** The disk of a log breaks down within so long. */
const LOG_FAILS_WITHIN_MS = 400;
/** Longer than clients are at work where nothing holds them up. */
const NEVER_MS = 60_000;

/** What a world draws that is given nothing but its seed. */
export function profileOf(seed: number): Profile {
  return drawProfile(new SeededRandom(seed).fork());
}

export function drawProfile(random: SeededRandom): Profile {
  const swarm = drawSwarm(random);
  const large = random.chance(0.03);
  const sectors = large ? 48 : random.between(48, 160);
  const blockSize = large ? 65536 : random.pick([512, 512, 512, 4096]);
  const clients: [ClientProfile, ...ClientProfile[]] = [drawClient(random, swarm, sectors, large)];
  for (let i = random.below(3); i > 0; i--) clients.push(drawClient(random, swarm, sectors, large));
  const slot = blockSize * (large ? 32 : 16);
  const fewPieces = swarm.has("few pieces");
  const littleMemory = swarm.has("little memory");
  const profile = {
    sectors,
    blockSize,
    clients,
    driver: drawDriver(random, swarm, sectors),
    sickness: drawSickness(random, swarm, random.pick(clients)),
    home: IN_MEMORY,
    limits: {
      pieces: fewPieces ? random.between(6, 24) : 4096,
      flushShare: fewPieces ? 0.5 : random.pick([0.5, 0.9, 0.9]),
      cheapFlushBytes: random.pick([slot, 4 << 20]),
      flushAgeMs: random.pick([50, 500, 5000, 5000]),
      flushRetryMs: random.pick([20, 1000]),
      stallTimeoutMs: random.pick([300, 30_000]),
      digestBytes: 1 << 20,
    },
    inFlightRequests: swarm.has("few requests") ? random.between(2, 6) : 256,
    writeBytes: littleMemory ? slot * random.between(2, 4) : slot * 48,
    // The device keeps some of it, to look whether a store is the same.
    readBytes: SAMPLED_BLOCKS * blockSize + (littleMemory ? Math.max(slot * 2, 2 * 65536) : slot * 64 + 16 * 65536),
    faultMs: swarm.has("calm") ? random.between(1, CALM_WITHIN_MS) : NEVER_MS,
  };
  return withHome(adapt(profile, swarm, random), random);
}

function withHome(profile: Profile, random: SeededRandom): Profile {
  const { newcomer, poison } = profile.sickness;
  // Who makes nothing durable has to be given more memory than a log is read into.
  const kinds = ["memory", "memory", "memory", "shm", newcomer?.character === "liar" ? "shm" : "disk"] as const;
  const kind = random.pick(kinds);
  if (kind === "memory") return profile;
  // What another store is known by dies with the front; and the next one begins with a driver that does not know of a larger store.
  const mayDie = newcomer?.character !== "foreign" && newcomer?.character !== "large";
  const deaths = mayDie ? random.pick([0, 2, 6, 10]) : 0;
  const powerFails = mayDie && kind === "disk" && random.chance(0.7);
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
    logFailsAtMs: mayDie && kind === "disk" && random.chance(0.1) ? random.between(1, LOG_FAILS_WITHIN_MS) : undefined,
  };
  // Fronts die one after another, which takes its time.
  const faultMs = deaths > 0 && random.chance(0.75) ? Math.max(profile.faultMs, NEVER_MS) : profile.faultMs;
  if (kind === "shm") return { ...profile, home, faultMs };
  return onDisk({ ...profile, home, faultMs }, random.pick([1, 1, 4]));
}

/** Some kinds of sickness show only where others are absent. */
function adapt(profile: Profile, swarm: Swarm, random: SeededRandom): Profile {
  const { newcomer } = profile.sickness;
  let { driver, sickness, limits, writeBytes, faultMs } = profile;
  const poisoned = swarm.has("poison");
  if (poisoned) faultMs = POISON_MS;
  // An error has one reason only: it has been convicted.
  if (poisoned && random.chance(0.75)) driver = withoutErrors(driver);
  if (poisoned && random.chance(0.75)) {
    driver = withoutDeaths(driver);
    const deaths = random.chance(0.7) ? (["signal", "exit"] as const) : sickness.deaths;
    sickness = { ...sickness, hang: 0, excess: undefined, operator: false, deaths };
  }
  // What a failed flush leaves nobody is held to; a refused write leaves the old or the new.
  if (swarm.has("lies")) driver = { ...withoutErrors(driver), refuse: driver.refuse, refuseFua: driver.refuseFua };
  if (newcomer?.character === "foreign") {
    // One block at least has to be read for the store to be known by.
    driver = withoutDeaths(driver);
    sickness = { ...sickness, hang: 0, excess: undefined, poison: undefined, operator: false };
  }
  if (newcomer?.character === "large") {
    // Once it has grown, nobody else has a store that is large enough.
    sickness = { ...sickness, fallback: undefined };
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

function drawClient(random: SeededRandom, swarm: Swarm, sectors: number, large: boolean): ClientProfile {
  const windowSectors = random.chance(0.6) ? random.between(8, 24) : sectors;
  return {
    requests: large ? 15 : random.between(20, 60),
    depth: random.pick([1, 4, 8, 16]),
    maxSectors: large ? 20 : random.pick([4, 8, 16]),
    windowFirst: random.below(sectors - windowSectors + 1),
    windowSectors,
    mix: {
      write: random.pick([20, 50, 50]),
      zero: swarm.has("zeroes") ? random.pick([8, 8, 25]) : 0,
      // What is trimmed may hold anything, and nobody can be held to it.
      trim: swarm.has("trims") ? random.pick([3, 3, 10]) : 0,
      extents: swarm.has("extents") ? 4 : 0,
      cache: swarm.has("cache") ? 2 : 0,
      read: swarm.has("reads") ? random.pick([10, 33, 33]) : 0,
    },
    flush: swarm.has("flushes") ? random.pick([0.02, 0.08, 0.2]) : 0,
    fua: swarm.has("fua") ? random.pick([0.15, 0.3]) : 0,
    pattern: random.pick(["random", "random", "sequential", "hot spots"]),
    orderly: random.chance(0.4),
    hangUp: swarm.has("hang-ups") ? random.pick([0.01, 0.03, 0.06]) : 0,
    stopReading: swarm.has("slow readers") ? 0.02 : 0,
    thinkMs: random.pick([0, 1, 10]),
    fragments: swarm.has("fragments") && random.chance(0.6),
  };
}

function drawDriver(random: SeededRandom, swarm: Swarm, sectors: number): DriverProfile {
  return {
    depth: random.pick([2, 8, 64]),
    fua: swarm.has("FUA drivers"),
    trim: swarm.has("trim drivers"),
    zero: swarm.has("zero drivers"),
    extents: swarm.has("extents drivers"),
    delayMs: random.pick([1, 5, 20]),
    effectSectors: swarm.has("short effects") ? random.between(1, 4) : 1 << 20,
    crash: swarm.has("crashes") ? random.pick([0.003, 0.01, 0.02]) : 0,
    crashInOpen: swarm.has("crashes in open") ? 0.3 : 0,
    openFails: swarm.has("failed opens") ? 0.3 : 0,
    openHangs: swarm.has("hanging opens") ? 0.2 : 0,
    refuse: swarm.has("refusals") ? random.pick([0.01, 0.05]) : 0,
    refuseFua: swarm.has("refused FUA writes") ? random.pick([0.1, 0.4]) : 0,
    flushFails: swarm.has("failed flushes") ? random.pick([0.1, 0.4]) : 0,
    flushForgets: swarm.has("forgetful flushes"),
    bogus: swarm.has("invalid completions") ? 0.005 : 0,
    destage: swarm.has("destaging") ? random.pick([0.05, 0.5]) : 0,
    reapMs: swarm.has("slow reaping") ? 3000 : random.pick([1, 20, 20]),
    badSectors: swarm.has("bad sectors") ? random.between(1, 8) : 0,
    badFirst: random.below(sectors - 8),
  };
}
