import { createHash } from "node:crypto";
import { type History, isChange } from "./history.ts";
import { union } from "./ranges.ts";
import { type CrashState, isWhollyMissing } from "./state.ts";
import { joined, type Source, type WriteIndex } from "./write-index.ts";

/** Whether two sources have the same content in these sectors; false where that would take too long to find out. */
export type SameContent = (a: Source, b: Source) => boolean;

/**
 * A digest of what is on the disk in that state, and of the last mark: states with the same one are equal, and one of them is enough to
 * check. It is made of the difference to the state in which nothing is missing. Now and then two equal states have different
 * ones, which costs a check.
 */
export function stateKey(
  history: History,
  index: WriteIndex,
  state: CrashState,
  mark: string | undefined,
  same: SameContent,
): string {
  const end = lastPresent(history, state) + 1;
  const hash = createHash("sha256").update(JSON.stringify([end, mark ?? null]));
  const reduced = { end, missing: state.missing };
  const differing: Source[] = [];
  for (const range of union([...state.missing.values()].flat())) {
    for (const [there, wanted] of inStep(index.sources(reduced, range), index.fullSources(end, range))) {
      if (there.entry !== wanted.entry && !same(there, wanted)) differing.push(there);
    }
  }
  // Where ranges were cut must make no difference.
  for (const { from, to, entry } of joined(differing)) hash.update(`${from}..${to}=${entry};`);
  return hash.digest("base64");
}

/** The newest change that is there at all; what follows it may as well never have been sent. */
function lastPresent(history: History, { end, missing }: CrashState): number {
  for (let at = end - 1; at >= 0; at--) {
    const entry = history.entries[at];
    if (entry !== undefined && isChange(entry) && !isWhollyMissing(history, missing, at)) return at;
  }
  return -1;
}

/** Two lists of sources for the same sectors, cut at each other's ends. */
function* inStep(one: readonly Source[], other: readonly Source[]): Generator<[Source, Source], void, undefined> {
  let a = 0;
  let b = 0;
  while (a < one.length && b < other.length) {
    const [first, second] = [one[a] as Source, other[b] as Source];
    const part = { from: Math.max(first.from, second.from), to: Math.min(first.to, second.to) };
    yield [
      { ...part, entry: first.entry },
      { ...part, entry: second.entry },
    ];
    if (first.to === part.to) a++;
    if (second.to === part.to) b++;
  }
}
