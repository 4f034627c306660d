import { readCommandLine, wholeNumber } from "../terminal/command-line.ts";
import { MARKED_SEEDS } from "./marks.ts";

const HELP = `usage: npm run sim -- [--seeds N | --deaths N] [--from S] [--workers N] [--twice] [--verbose] [--coverage]
       npm run sim -- --shrink SEED [--out FILE]
       npm run sim -- --script FILE

  --seeds N      how many worlds (1000)
  --deaths N     as many worlds as it takes until so many drivers have died
  --from S       the first one's seed (1)
  --workers N    threads (1)
  --twice        runs each world a second time, to see that it goes the same way
  --verbose      a line for each world, and all that happens in one that breaks a promise
  --coverage     which lines of the core the worlds never came to; in one thread, and slower
  --shrink SEED  makes the world of this seed, which breaks a promise, as small as it can be, and writes it down
  --out FILE     where to (skink-world-SEED.json)
  --script FILE  lives a world that was written down

The real core and the real homes under a seeded world of clients, drivers that crash, fronts that die and power cuts, its history
checked. A sweep of ${MARKED_SEEDS} seeds or more fails if one of the rare things that it lists was never seen. See docs/simulation.md.`;

const MOST_SEEDS = 10 ** 12;

/** What is asked for. */
export type Options =
  | { readonly mode: "shrink"; readonly seed: number; readonly out: string }
  | { readonly mode: "script"; readonly file: string }
  | {
      readonly mode: "sweep" | "verbose" | "coverage";
      readonly seeds: number;
      /** How many driver deaths are enough. */
      readonly deaths: number | undefined;
      readonly from: number;
      readonly workers: number;
      readonly twice: boolean;
    };

/** Reads the command line. Ends the process where that is help, or makes no sense. */
export function readOptions(): Options {
  const options = {
    seeds: { type: "string" },
    deaths: { type: "string" },
    from: { type: "string", default: "1" },
    workers: { type: "string", default: "1" },
    twice: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
    coverage: { type: "boolean", default: false },
    shrink: { type: "string" },
    out: { type: "string" },
    script: { type: "string" },
  } as const;
  return readCommandLine(HELP, { options }, ({ values }): Options => {
    const { shrink, script } = values;
    if (values.out !== undefined && shrink === undefined)
      throw new Error("Cannot use --out: it is for --shrink, one beside it was wanted");
    if (script !== undefined) return { mode: "script", file: script };
    if (shrink !== undefined) {
      const seed = wholeNumber("shrink", shrink);
      return { mode: "shrink", seed, out: values.out ?? `skink-world-${seed}.json` };
    }
    const deaths = values.deaths === undefined ? undefined : wholeNumber("deaths", values.deaths, 1);
    if (deaths !== undefined && values.seeds !== undefined)
      throw new Error("Cannot use both --seeds and --deaths: one of them was wanted");
    return {
      mode: values.coverage ? "coverage" : values.verbose ? "verbose" : "sweep",
      seeds: deaths === undefined ? wholeNumber("seeds", values.seeds ?? "1000", 1) : MOST_SEEDS,
      deaths,
      from: wholeNumber("from", values.from),
      workers: wholeNumber("workers", values.workers, 1),
      twice: values.twice,
    };
  });
}
