import { type HomeProfile, onDisk, type Profile, plainProfile } from "./profile.ts";
import { HEALTHY } from "./sickness.ts";
import type { Draft } from "./sim-client.ts";

const SECTORS = 48;
const BLOCK_SIZE = 512;

/** All kinds of requests, much overlap, FUA over what is held and under what comes, flushes in between. */
const SCRIPT: readonly Draft[] = [
  { kind: "write", first: 0, count: 8 },
  { kind: "write", first: 8, count: 4 },
  { kind: "write", first: 2, count: 3, fua: true },
  { kind: "read", first: 0, count: 12 },
  { kind: "zero", first: 6, count: 4, mayTrim: true },
  { kind: "flush", first: 0, count: 0 },
  { kind: "write", first: 4, count: 8 },
  { kind: "write", first: 5, count: 2, fua: true },
  { kind: "write", first: 5, count: 1 },
  { kind: "trim", first: 20, count: 4 },
  { kind: "write", first: 22, count: 6 },
  { kind: "extents", first: 0, count: 32 },
  { kind: "read", first: 4, count: 8 },
  { kind: "zero", first: 10, count: 6, fua: true },
  { kind: "flush", first: 0, count: 0 },
  { kind: "flush", first: 0, count: 0 },
  { kind: "write", first: 12, count: 2 },
  { kind: "write", first: 30, count: 16 },
  { kind: "cache", first: 30, count: 8 },
  { kind: "write", first: 33, count: 4, fua: true },
  { kind: "read", first: 28, count: 16 },
  { kind: "zero", first: 40, count: 8 },
  { kind: "write", first: 0, count: 16 },
  { kind: "trim", first: 0, count: 2 },
  { kind: "write", first: 1, count: 4 },
  { kind: "flush", first: 0, count: 0 },
  { kind: "write", first: 2, count: 2, fua: true },
  { kind: "zero", first: 24, count: 8, fua: true, mayTrim: true },
  { kind: "read", first: 0, count: 32 },
  { kind: "write", first: 3, count: 9 },
];

/** Without extents the session answers by itself, and there is nothing to watch; without trim it is not offered. */
export function killScript(able: boolean): readonly Draft[] {
  return able ? SCRIPT : SCRIPT.filter(({ kind }) => kind !== "extents" && kind !== "trim");
}

/** After its start, while the script is under way. */
export const UPGRADE_AFTER_MS = 8;
/** Longer than the rest of the script takes. */
const PROBATION_MS = 500;

/** The same with a newcomer that is to take over from it, and can do what it can't. */
export function upgradeProfile(able: boolean): Profile {
  const profile = killProfile(able);
  const newcomer = { character: "good", readyMs: 1, sameFeatures: !able, times: 1 } as const;
  const policy = { probationMs: PROBATION_MS, probationRequests: Number.MAX_SAFE_INTEGER };
  return { ...profile, sickness: { ...HEALTHY, newcomer, policy } };
}

/** The same with a front that may die, too. */
export function frontProfile(able: boolean, kind: HomeProfile["kind"]): Profile {
  const requestBytes = Math.max(...SCRIPT.map(({ count }) => count)) * BLOCK_SIZE;
  const home = {
    kind,
    deaths: 0,
    powerFails: false,
    handsOver: false,
    startMs: 2,
    logBytes: 0,
    requestBytes,
    logMs: 5,
  };
  const profile = { ...killProfile(able), home };
  return kind === "disk" ? onDisk(profile, 1) : profile;
}

/** A driver without faults of its own: it dies where it is told to, and only there. */
export function killProfile(able: boolean): Profile {
  const plain = plainProfile({ sectors: SECTORS, blockSize: BLOCK_SIZE });
  const abilities = { fua: able, trim: able, zero: able, extents: able };
  return {
    ...plain,
    driver: { ...plain.driver, ...abilities, depth: 8, destage: 0.1, reapMs: 3 },
    limits: { ...plain.limits, pieces: 1024 },
    readBytes: 2 << 20,
  };
}
