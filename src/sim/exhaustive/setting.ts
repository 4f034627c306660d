import { type DriverKind, firstKind } from "../driver-kind.ts";
import { frontProfile } from "../kill-points.ts";
import { onDisk, type Profile } from "../profile.ts";
import { SECTORS } from "./scripts.ts";

export type HomeKind = "memory" | "shm" | "disk";
/** Who dies. With the front its driver does, and with the power all of it. */
export type Death = "driver" | "front" | "power";

/** What a world is made of. */
export interface Build {
  readonly home: HomeKind;
  /** Whether the driver has FUA, trim and zero. */
  readonly able: boolean;
}

/** A kind of play: all but the script. */
export interface Setting extends Build {
  readonly death: Death;
  /** Each step when the one before was answered, or all at once. */
  readonly pace: "one by one" | "at once";
}

/** Every setting that makes sense: nothing is left of home memory when its front dies. Those of the same build are neighbours. */
export const SETTINGS: readonly Setting[] = (["memory", "shm", "disk"] as const).flatMap((home: HomeKind) =>
  [true, false].flatMap((able) =>
    (["driver", "front", "power"] as const)
      .filter((death: Death) => home !== "memory" || death !== "front")
      .flatMap((death) => (["one by one", "at once"] as const).map((pace) => ({ home, able, death, pace }))),
  ),
);

export function describeSetting({ home, death, able, pace }: Setting): string {
  return `home ${home}, death of the ${death}, ${able ? "able" : "simple"} driver, ${pace}`;
}

export function profileOf({ home, able }: Build): Profile {
  const profile = frontProfile(able, home);
  const small = { ...profile, sectors: SECTORS, limits: { ...profile.limits, pieces: 64 } };
  const requestBytes = SECTORS * profile.blockSize;
  // Room for all of a script: who waits for room is the other simulator's affair.
  return home === "disk" ? onDisk({ ...small, home: { ...profile.home, requestBytes, logMs: 0 } }, 2) : small;
}

/** Its name fits into a sector of a log: torn records are the other simulator's affair, and each sector doubles the rests here. */
export function kindOf(profile: Profile): DriverKind {
  const kind = firstKind(profile);
  return { ...kind, info: { ...kind.info, identity: "store" } };
}
