import type { CampaignOptions, Fault, WireKind } from "../plan.ts";

/** With these a driver's answers have the right form, and are wrong. With all others of the wire it breaks the link's own rules, or is slow. */
const LIES: readonly WireKind[] = ["corrupt", "misdirected-read", "misdirected-write", "lost", "torn"];

/** Who answers for it that a client was told something wrong, in a few words. */
export function blameFor(fault: Fault, { shadow, verify }: Pick<CampaignOptions, "shadow" | "verify">): string {
  if (!shadow) return "the target's own: nothing stood in for it";
  if (isUnverifiedLie(fault, { verify }))
    return "the driver may have lied, which nobody notices without --verify digests";
  return "Skink's to answer for: it promises that this can't be";
}

/** Whether a driver with this fault may lie while nobody compares what it returns. Changed code may do anything. */
export function isUnverifiedLie(fault: Fault, { verify }: Pick<CampaignOptions, "verify">): boolean {
  if (verify !== "none") return false;
  return fault.tier === "code" || (fault.tier === "wire" && LIES.includes(fault.kind));
}
