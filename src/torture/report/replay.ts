import type { CampaignOptions } from "../plan.ts";

/** The command that makes one trial of a campaign again, for a shell. */
export function replayCommand(options: CampaignOptions, index: number): string {
  const { spec, seed, tiers, persistence, verify, shadow, recovery, loadMs } = options;
  const words = ["skink", "torture", quoted(spec)];
  // What a trial is drawn from; what has been left out then may have another default in a later version.
  words.push("--seed", `${seed}`, "--tier", tiers.join(","));
  if (persistence !== undefined) words.push("--persistence", persistence);
  if (verify !== "none") words.push("--verify", verify);
  if (!shadow) words.push("--no-shadow");
  if (recovery !== undefined) words.push("--recovery", recovery);
  words.push("--load-ms", `${loadMs}`, "--only", `${index}`);
  return words.join(" ");
}

/** One word of a POSIX shell, whatever is in it: between single quotes nothing but they themselves means anything. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
