import type { Unit } from "./stamp.ts";

/**
 * - `lost`: an older value of this sector, zeroes of the start included, though a newer one was acknowledged.
 * - `misdirected`: the stamp of another sector.
 * - `torn`: parts of several values within the sector.
 * - `corrupt`: what nobody ever wrote.
 */
export type WrongKind = "lost" | "misdirected" | "torn" | "corrupt";

/** A sector that holds what it can't. */
export interface Wrong {
  readonly kind: WrongKind;
  readonly sector: number;
  /** A flush, or FUA, had promised what is missing. False where overlapping requests, or flushes, leave a doubt. */
  readonly flushed: boolean;
  /** One line. */
  readonly description: string;
}

/** What is wrong with a sector that holds these units; `now`: no change has a higher number. */
export function kindOf(units: readonly Unit[], sector: number, now: number): WrongKind {
  if (units.some((unit) => unit === undefined || unit.number > now)) return "corrupt";
  if (units.length > 1) return "torn";
  const [unit] = units;
  return unit !== undefined && unit.number > 0 && unit.sector !== sector ? "misdirected" : "lost";
}

/** A few words on what a sector holds. */
export function whatIsThere(units: readonly Unit[]): string {
  const names = units.map((unit) => {
    if (unit === undefined) return "what nobody wrote";
    return unit.number === 0 ? "zeroes" : `change ${unit.number} of sector ${unit.sector}`;
  });
  const distinct = [...new Set(names)];
  return distinct.length > 1 ? `a mixture of ${distinct.join(" and ")}` : (distinct[0] as string);
}
