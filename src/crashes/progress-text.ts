import type { Progress } from "./campaign.ts";

const BAR_CELLS = 20;

/** "[######..............]  312 of 1000 states, 81.2 a second, 8 s left, 0 failed" */
export function progressText({ phase, checked, total, failures }: Progress, seconds: number): string {
  if (phase === "search" || total === undefined) return `looking for the smallest state that fails: ${checked} checked`;
  const share = total === 0 ? 1 : Math.min(1, checked / total);
  const filled = Math.round(share * BAR_CELLS);
  const bar = `[${"#".repeat(filled)}${".".repeat(BAR_CELLS - filled)}]`;
  const rate = checked / Math.max(seconds, 0.001);
  const left = checked === 0 ? "" : `, ${rate.toFixed(1)} a second, ${Math.ceil((total - checked) / rate)} s left`;
  return `${bar}  ${checked} of ${total} states${left}, ${failures} failed`;
}
