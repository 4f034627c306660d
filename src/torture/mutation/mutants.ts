import { SkinkError } from "../../block/errors.ts";
import type { Random } from "../../shadow/ports.ts";
import type { CodeFault } from "../plan.ts";
import { applyMutant, type Change } from "./change.ts";
import { Code, isModule, type SourceFile } from "./code.ts";
import { describeChange } from "./description.ts";
import type { Operator } from "./operator.ts";
import { OPERATORS } from "./operators/index.ts";

/** One change in one place of one file. How long it is there is for the campaign to say. */
export type Mutant = Omit<CodeFault, "persistence">;

/** Not known to parse yet. */
interface Candidate {
  readonly operator: Operator;
  readonly change: Change;
  readonly source: SourceFile;
  readonly code: Code;
  /** What is shown to people: the node that is changed. */
  readonly shown: { readonly start: number; readonly end: number };
}

/** All of them, in the order of the text and of {@link OPERATORS}. Throws `bad-source` if the file can't be parsed. */
export function mutantsOf(source: SourceFile): readonly Mutant[] {
  return candidatesIn(source).filter(isViable).map(mutantOf);
}

/**
 * One mutant, the same for the same chance: first a class of faults, then an operator, then a place, then what is done there. So what
 * there is little of, such as a missing `finally`, is drawn as often as what is everywhere. Throws `no-mutants` if there are none.
 */
export function drawMutant(sources: readonly SourceFile[], random: Random): Mutant {
  let candidates = sources.flatMap(candidatesIn);
  while (candidates.length > 0) {
    const drawn = draw(candidates, random);
    if (isViable(drawn)) return mutantOf(drawn);
    candidates = candidates.filter((candidate) => candidate !== drawn);
  }
  const urls = sources.map(({ url }) => url).join(", ") || "nothing";
  throw new SkinkError("no-mutants", `Cannot break ${urls}: there is no code in it, a driver's source was wanted`);
}

const known = new WeakMap<SourceFile, readonly Candidate[]>();

/** A campaign draws thousands of times from the same files. */
function candidatesIn(source: SourceFile): readonly Candidate[] {
  const candidates = known.get(source) ?? findCandidates(source);
  known.set(source, candidates);
  return candidates;
}

function findCandidates(source: SourceFile): Candidate[] {
  const code = new Code(source);
  const candidates: Candidate[] = [];
  for (const place of code.places) {
    for (const operator of OPERATORS) {
      for (const change of operator.changes(place, code)) {
        const isChanged = code.text.slice(change.start, change.end) !== change.replacement;
        if (isChanged) candidates.push({ operator, change, source, code, shown: place.node });
      }
    }
  }
  return candidates;
}

function isViable({ source, change }: Candidate): boolean {
  return isModule(source.url, applyMutant(source.text, change));
}

function draw(candidates: readonly Candidate[], random: Random): Candidate {
  const ofClass = pickGroup(candidates, random, ({ operator }) => operator.class);
  const ofOperator = pickGroup(ofClass, random, ({ operator }) => operator.name);
  const ofPlace = pickGroup(ofOperator, random, ({ source, change }) => `${source.url} ${change.start} ${change.end}`);
  return ofPlace[random.below(ofPlace.length)] as Candidate;
}

function pickGroup<Item>(items: readonly Item[], random: Random, keyOf: (item: Item) => string): Item[] {
  const groups = [...Map.groupBy(items, keyOf).values()];
  return groups[random.below(groups.length)] as Item[];
}

function mutantOf({ operator, change, source, code, shown }: Candidate): Mutant {
  return {
    tier: "code",
    kind: operator.name,
    file: source.url,
    ...change,
    line: code.text.slice(0, change.start).split("\n").length,
    description: describeChange(code.text, change, shown),
  };
}
