import type { Mark, Place } from "./marks.ts";
import { percentile } from "./statistics.ts";
import { figure } from "./table.ts";

/** What a stall consists of, one after the other. What is left of it behind the last place is the rest. */
export interface Stages {
  readonly until: Readonly<Record<string, Place>>;
  readonly rest: string;
}

/** By their names, in milliseconds. */
export type StagesMs = Readonly<Record<string, number>>;

/** Of a stall that began at `since`. A stage whose place nobody came to is NaN. */
export function stagesOf({ until, rest }: Stages, marks: readonly Mark[], since: number, stallMs: number): StagesMs {
  const times = new Map(marks.map(({ place, at }) => [place, at]));
  const stagesMs: Record<string, number> = {};
  let from = since;
  for (const [name, place] of Object.entries(until)) {
    const at = times.get(place) ?? Number.NaN;
    stagesMs[name] = at - from;
    from = at;
  }
  stagesMs[rest] = Math.max(0, stallMs - (from - since));
  return stagesMs;
}

export function stageNames({ until, rest }: Stages): string[] {
  return [...Object.keys(until), rest];
}

/** Its median in milliseconds, for a table. */
export function stageFigure(stalls: readonly { readonly stagesMs: StagesMs }[], name: string): string {
  return figure(
    percentile(
      stalls.map(({ stagesMs }) => stagesMs[name] ?? Number.NaN),
      50,
    ),
  );
}
