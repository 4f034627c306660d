import { shellWord } from "../../block/shell-word.ts";
import type { CampaignOptions } from "../plan.ts";

/** The command that makes one trial of a campaign again, for a shell. */
export function replayCommand(options: CampaignOptions, index: number): string {
  const { spec, seed, tiers, persistence, verify, shadow, recovery, loadMs } = options;
  const words = ["skink", "torture", shellWord(spec)];
  // What a trial is drawn from; what has been left out then may have another default in a later version.
  words.push("--seed", `${seed}`, "--tier", tiers.join(","));
  if (persistence !== undefined) words.push("--persistence", persistence);
  if (verify !== "none") words.push("--verify", verify);
  if (!shadow) words.push("--no-shadow");
  if (recovery !== undefined) words.push("--recovery", recovery);
  words.push("--load-ms", `${loadMs}`, "--only", `${index}`);
  return words.join(" ");
}
