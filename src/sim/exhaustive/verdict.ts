import { type PromiseName, Violation } from "../violation.ts";
import type { Allowed } from "./ledger.ts";
import type { Outcome } from "./play.ts";
import type { Rests } from "./small-store.ts";

/**
 * What a sector of the store holds after a death: one of its rests, we don't say which. An id of content.ts that no write has. A
 * new front passes on what is in a sector and doesn't look at it; so a single play tells what becomes of each of the rests.
 */
export const ANY_REST = 1 << 20;

/**
 * Throws where a promise is broken. `rests`: those of the store. `allowed`: after the death, by `promise`. `unspecified`: what reads there
 * may change with every read.
 */
export function judge(
  promise: PromiseName,
  { found, again, after }: Outcome,
  rests: Rests<number>,
  allowed: readonly Allowed[],
  unspecified: readonly boolean[],
): void {
  const sides = (id: number, sector: number): ReadonlySet<number> => new Set(id === ANY_REST ? rests[sector] : [id]);
  found.forEach((id, sector) => {
    const wanted = allowed[sector] as Allowed;
    if (wanted === "anything") return;
    const wrong = [...sides(id, sector)].find((side) => !wanted.has(side));
    if (wrong === undefined) return;
    const how = id === ANY_REST ? ", which the death may have left in the store" : "";
    throw new Violation(promise, `sector ${sector} holds write ${wrong}${how}; ${[...wanted].join(" or ")} was wanted`);
  });
  const isKept = (later: readonly number[], promise: PromiseName, when: string): void => {
    found.forEach((id, sector) => {
      const then = later[sector] as number;
      if (unspecified[sector] || then === id) return;
      const all = new Set([...sides(id, sector), ...sides(then, sector)]);
      if (all.size === 1) return;
      const what = `sector ${sector} is not what it was before ${when}: one of ${[...all].join(", ")}`;
      throw new Violation(promise, what);
    });
  };
  isKept(again, "P1", "another death of the driver");
  isKept(after, "P2", "a flush and a power cut");
}
