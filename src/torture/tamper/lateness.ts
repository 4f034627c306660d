/** On both sides of the judge's deadlines for a driver which answers fast: for any answer at all, and for one of many. */
const LATENESS_MS = [250, 500, 1000, 2000];

/** How late the answers of a late driver are, in milliseconds: another number of calls, another lateness. */
export function latenessOf(fault: { readonly nth: number }): number {
  return LATENESS_MS[fault.nth % LATENESS_MS.length] as number;
}
