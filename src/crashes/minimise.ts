import { pieces, type Tearing } from "./draw.ts";
import type { Range } from "./history.ts";
import { union } from "./ranges.ts";
import { type CrashState, newState } from "./state.ts";

/** Checks that a search may take. */
export const MAX_SEARCH_CHECKS = 500;
/** A change is put back in so many pieces at first; what is left is cut again, down to what the disk writes whole. */
const MAX_PIECES = 16;

/** Some missing sectors of one change. */
interface Loss extends Range {
  readonly entry: number;
}

export interface Minimised {
  readonly state: CrashState;
  /** Nothing of what is missing could be put back without the check passing. */
  readonly isMinimal: boolean;
}

/**
 * From a state that fails to one that fails with as little missing as possible: first whole changes are put back, then pieces of
 * those that are left. It is the "ddmin" of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002.
 * `fails`: whether a state fails as well; up to `width` questions are asked at a time.
 */
export async function minimise(
  state: CrashState,
  tearing: Tearing,
  fails: (state: CrashState) => Promise<boolean>,
  width: number,
): Promise<Minimised> {
  const budget = { left: MAX_SEARCH_CHECKS };
  const stateOf = (losses: readonly (readonly Loss[])[]): CrashState => {
    const byEntry = Map.groupBy(losses.flat(), ({ entry }) => entry);
    return newState(
      state.end,
      [...byEntry].map(([entry, parts]) => [entry, union(parts)] as const),
    );
  };
  const search = (losses: readonly (readonly Loss[])[]): Promise<(readonly Loss[])[]> =>
    ddmin(losses, (kept) => fails(stateOf(kept)), width, budget);
  const changes = [...state.missing].map(([entry, ranges]) => ranges.map((range) => ({ ...range, entry })));
  let fewest = await search(changes);
  for (;;) {
    const cut = fewest.flat().flatMap(({ entry, ...range }) => {
      return pieces(range, tearing, MAX_PIECES).map((part) => [{ ...part, entry }]);
    });
    if (cut.length === fewest.length || budget.left <= 0) return { state: stateOf(fewest), isMinimal: budget.left > 0 };
    fewest = await search(cut);
  }
}

/** The smallest selection that `fails`, as far as taking away parts of it leads; all of them do. */
async function ddmin<Item>(
  items: readonly Item[],
  fails: (selection: readonly Item[]) => Promise<boolean>,
  width: number,
  budget: { left: number },
): Promise<Item[]> {
  let left = [...items];
  // Often nothing has to be missing at all.
  if (left.length > 0 && (await firstFailing([[]], fails, 1, budget)) !== undefined) return [];
  for (let parts = 2; left.length > 1 && budget.left > 0; ) {
    const chunks = inParts(left, parts);
    const complements =
      parts === 2 ? [] : chunks.map((_, number) => chunks.filter((_, other) => other !== number).flat());
    const smaller = await firstFailing([...chunks, ...complements], fails, width, budget);
    if (smaller !== undefined) {
      parts = Math.max(2, smaller.length > left.length / parts ? parts - 1 : 2);
      left = smaller;
    } else if (parts < left.length) parts = Math.min(left.length, 2 * parts);
    else break;
  }
  return left;
}

/** The first of the selections that fails, some of them asked about at a time. */
async function firstFailing<Item>(
  selections: readonly Item[][],
  fails: (selection: readonly Item[]) => Promise<boolean>,
  width: number,
  budget: { left: number },
): Promise<Item[] | undefined> {
  for (let at = 0; at < selections.length && budget.left > 0; at += width) {
    const some = selections.slice(at, at + width);
    budget.left -= some.length;
    const answers = await allSettled(some.map(fails));
    const first = answers.indexOf(true);
    if (first !== -1) return some[first];
  }
  return undefined;
}

/** Waits for all of them, also where one rejects: each takes down what it has set up. */
async function allSettled<Value>(promises: readonly Promise<Value>[]): Promise<Value[]> {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}

function inParts<Item>(items: readonly Item[], parts: number): Item[][] {
  return Array.from({ length: parts }, (_, part) => {
    const border = (number: number): number => Math.floor((items.length * number) / parts);
    return items.slice(border(part), border(part + 1));
  });
}
