/** How often something happened that a sweep is meant to see. */
export interface Counts {
  readonly hangs: number;
  /** Convictions of requests and pieces that kill; of some that were only unlucky. */
  readonly poison: number;
  readonly unlucky: number;
  /** Of these, pieces that had been acknowledged. */
  readonly pieces: number;
  /** Reads that were found to be wrong. */
  readonly lies: number;
  readonly fallbacks: number;
  readonly upgrades: number;
  readonly rollbacks: number;
}

export const NO_COUNTS: Counts = {
  hangs: 0,
  poison: 0,
  unlucky: 0,
  pieces: 0,
  lies: 0,
  fallbacks: 0,
  upgrades: 0,
  rollbacks: 0,
};

export function addCounts(a: Counts, b: Counts): Counts {
  return {
    hangs: a.hangs + b.hangs,
    poison: a.poison + b.poison,
    unlucky: a.unlucky + b.unlucky,
    pieces: a.pieces + b.pieces,
    lies: a.lies + b.lies,
    fallbacks: a.fallbacks + b.fallbacks,
    upgrades: a.upgrades + b.upgrades,
    rollbacks: a.rollbacks + b.rollbacks,
  };
}

/** A line for people. */
export function describeCounts({
  hangs,
  poison,
  unlucky,
  pieces,
  lies,
  fallbacks,
  upgrades,
  rollbacks,
}: Counts): string {
  return (
    `${hangs} hangs found, ${poison} poisonous requests convicted and ${unlucky} unlucky ones, ${pieces} of them ` +
    `acknowledged, ${lies} lies caught, ${fallbacks} fallbacks, ${upgrades} upgrades, ${rollbacks} rollbacks`
  );
}
