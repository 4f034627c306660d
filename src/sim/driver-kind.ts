import type { DriverInfo, DriverRef } from "../shadow/ports.ts";
import type { DriverProfile, Profile } from "./profile.ts";
import type { Newcomer, Sickness } from "./sickness.ts";

/** One of the drivers that a world's device may be served by. They share the store, but for a foreign one. */
export interface DriverKind extends DriverRef {
  readonly info: DriverInfo;
  readonly profile: DriverProfile;
  readonly sickness: Sickness;
  /** Its store is away. */
  readonly neverOpens: boolean;
  /** It serves another store, full of what nobody wrote here. */
  readonly foreign: boolean;
  /** It acknowledges flushes and FUA writes and makes nothing durable. */
  readonly keepsNothing: boolean;
  /** It dies so many milliseconds after it has opened, whatever else is. */
  readonly livesMs: (() => number) | undefined;
  /** Until it can be started; `undefined` where it can't. */
  readonly readyMs: number | undefined;
}

const WELL = { neverOpens: false, foreign: false, keepsNothing: false, livesMs: undefined, readyMs: 0 } as const;
const SIMPLE = { fua: false, trim: false, zero: false, extents: false } as const;
/** So long that a log has to keep it in two sectors, which may be torn. */
const IDENTITY = "store ".repeat(100);
/** Behind the end of the device, for the day when it grows. */
export const GROWN_SECTORS = 16;
/** Of a newcomer that is bad at something: often enough to show on probation. */
const OFTEN = 0.05;

/** The one that the device was made of. */
export function firstKind(profile: Profile): DriverKind {
  const { driver, sickness } = profile;
  return { ...WELL, kind: "first", info: infoOf(profile, driver, IDENTITY), profile: driver, sickness };
}

/** A slow and simple one for the same store, which calls it by another name. */
export function fallbackKind(profile: Profile): DriverKind {
  const { driver, sickness } = profile;
  const { fallback, poison } = sickness;
  const crash = fallback?.mortal === true ? driver.crash : 0;
  const simple = { ...driver, ...SIMPLE, crash, crashInOpen: 0, openFails: 0, openHangs: 0, bogus: 0 };
  const own = { ...sickness, hang: 0, poison: poison?.forAll === true ? poison : undefined };
  return { ...WELL, kind: "fallback", info: infoOf(profile, simple, undefined), profile: simple, sickness: own };
}

/** Another version. `liarsEndMs`: how long a liar may go on. */
export function newcomerKind(profile: Profile, newcomer: Newcomer, liarsEndMs: () => number): DriverKind {
  const { character, readyMs, sameFeatures } = newcomer;
  const driver = {
    ...profile.driver,
    ...(sameFeatures ? {} : SIMPLE),
    ...(character === "dies" ? { crash: OFTEN } : {}),
  };
  const sickness = { ...profile.sickness, ...(character === "hangs" ? { hang: OFTEN } : {}) };
  const info = infoOf(profile, driver, sameFeatures ? IDENTITY : undefined);
  const { geometry } = info;
  const more = character === "small" ? -1 : character === "large" ? GROWN_SECTORS : 0;
  const size = geometry.size + more * geometry.blockSize;
  return {
    kind: "newcomer",
    info: { ...info, geometry: { ...geometry, size } },
    profile: driver,
    sickness,
    neverOpens: character === "fails to open",
    foreign: character === "foreign",
    keepsNothing: character === "liar",
    livesMs: character === "liar" ? liarsEndMs : undefined,
    readyMs,
  };
}

function infoOf(profile: Profile, driver: DriverProfile, identity: string | undefined): DriverInfo {
  const { sectors, blockSize } = profile;
  const { fua, trim, zero, extents } = driver;
  const geometry = { size: sectors * blockSize, blockSize, readOnly: false, fua, trim, zero, extents };
  return { geometry, identity, discards: false };
}
