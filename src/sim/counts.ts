/** What a sweep is meant to see, each at least once, and what people are told of it. */
const SEEN = {
  hangs: "hangs found",
  excess: "drivers that took too much",
  poison: "poisonous requests convicted",
  unlucky: "unlucky ones convicted",
  pieces: "of them acknowledged",
  lies: "lies caught",
  fallbacks: "fallbacks",
  readOnly: "times read-only",
  held: "times held",
  failed: "times failed by budget",
  upgrades: "upgrades",
  rollbacks: "rollbacks",
  frontDeaths: "front deaths",
  doubleDeaths: "of them before it served again",
  powerCuts: "power cuts",
  handovers: "handovers",
  takeUps: "shadows taken up",
} as const;

/** How often each of these happened. */
export type Counts = { readonly [Kind in keyof typeof SEEN]: number };

/** What is counted of fronts, and not of drivers and requests. */
export type FrontCounts = Pick<Counts, "frontDeaths" | "doubleDeaths" | "powerCuts" | "handovers" | "takeUps">;

export const NO_COUNTS = countsBy(() => 0);

export function addCounts(a: Counts, b: Counts): Counts {
  return countsBy((kind) => a[kind] + b[kind]);
}

/** A line for people. */
export function describeCounts(counts: Counts): string {
  return Object.entries(SEEN)
    .map(([kind, what]) => `${counts[kind as keyof Counts]} ${what}`)
    .join(", ");
}

function countsBy(count: (kind: keyof Counts) => number): Counts {
  const kinds = Object.keys(SEEN) as (keyof Counts)[];
  return Object.fromEntries(kinds.map((kind) => [kind, count(kind)])) as unknown as Counts;
}
