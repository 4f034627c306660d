import type { SeededRandom } from "../block/random.ts";

/**
 * What a world may have, and the share of the worlds that do. Each world has some of these and is without the others altogether, not
 * all of them at low rates: what one feature would hide, or end too early, comes to light in worlds without it. (Groce, Zhang, Eide,
 * Chen, Regehr: Swarm Testing, ISSTA 2012.) Shares are smaller than a half where a feature leaves little else to be seen.
 */
const SHARES = {
  // What clients do.
  reads: 0.9,
  zeroes: 0.7,
  trims: 0.6,
  extents: 0.6,
  cache: 0.5,
  fua: 0.75,
  flushes: 0.9,
  "hang-ups": 0.6,
  "slow readers": 0.3,
  fragments: 0.5,
  // What drivers can do.
  "FUA drivers": 0.5,
  "trim drivers": 0.7,
  "zero drivers": 0.7,
  "extents drivers": 0.7,
  // What goes wrong with them.
  crashes: 0.75,
  "crashes in open": 0.3,
  "failed opens": 0.15,
  "hanging opens": 0.06,
  refusals: 0.3,
  "refused FUA writes": 0.45,
  "failed flushes": 0.4,
  "forgetful flushes": 0.6,
  "invalid completions": 0.1,
  "bad sectors": 0.1,
  destaging: 0.65,
  "slow reaping": 0.25,
  "short effects": 0.15,
  hangs: 0.18,
  strain: 0.18,
  excess: 0.1,
  poison: 0.25,
  lies: 0.13,
  // Who else acts.
  verify: 0.2,
  operator: 0.3,
  fallback: 0.15,
  upgrades: 0.25,
  // Limits and policies.
  "few pieces": 0.35,
  "few requests": 0.3,
  "little memory": 0.3,
  "impatient policies": 0.3,
  // The faults end while clients are at work.
  calm: 0.35,
} as const;

const DISTRACTING = ["excess", "fallback", "upgrades"] as const;

export type Feature = keyof typeof SHARES;

/** The features of a world. */
export type Swarm = ReadonlySet<Feature>;

export function drawSwarm(random: SeededRandom): Swarm {
  const swarm = new Set<Feature>();
  for (const [feature, share] of Object.entries(SHARES)) {
    if (random.chance(share)) swarm.add(feature as Feature);
  }
  // Of what else may have failed nobody knows what it is, so nobody can lie about it.
  if (swarm.has("lies")) swarm.delete("poison");
  // Parts of several requests may have the same range, and be taken for one that kills too often.
  if (swarm.has("poison")) swarm.delete("short effects");
  // Nor does anybody know who kills where there are many who might.
  if (swarm.has("poison") && random.chance(0.6)) for (const feature of DISTRACTING) swarm.delete(feature);
  return swarm;
}
