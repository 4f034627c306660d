/**
 * npm run fuzz [-- --cases N] [--seed S]: tries the properties of the protocol on as many cases, in batches that take a seed
 * each: S, S + 1, …. The first failure ends it, with the line that replays its batch.
 */
import { readCommandLine, wholeNumber } from "../../terminal/command-line.ts";
import { Progress } from "../../terminal/progress.ts";
import { casesOf, PROPERTIES, tryCases } from "./properties.ts";

const HELP = `usage: npm run fuzz -- [--cases N] [--seed S]

  --cases N   how many (100000)
  --seed S    the first batch's seed; drawn if left out

Tries the server's session, the client's parsers and the codecs on drawn, recorded, mutated and spliced traffic.`;
const BATCH_CASES = 1000;
const MAX_SEED = 2 ** 31;

const { cases, firstSeed } = readArguments();
await fuzz(cases, firstSeed);

function readArguments(): { cases: number; firstSeed: number } {
  const options = { cases: { type: "string", default: "100000" }, seed: { type: "string" } } as const;
  return readCommandLine(HELP, { options }, ({ values }) => {
    const drawn = Math.floor(Math.random() * MAX_SEED);
    return {
      cases: wholeNumber("cases", values.cases),
      firstSeed: values.seed === undefined ? drawn : wholeNumber("seed", values.seed),
    };
  });
}

async function fuzz(total: number, first: number): Promise<void> {
  const startedAt = performance.now();
  const progress = new Progress({ isOften: true });
  let done = 0;
  for (let seed = first; done < total; seed++) {
    for (const property of PROPERTIES) {
      const count = casesOf(property, BATCH_CASES);
      const verdict = await tryCases(property, count, seed);
      if (verdict.failed) {
        progress.clear();
        console.error(`"${property.claim}" is not so:\n${verdict.report}`);
        console.error(`replay it: npm run fuzz -- --seed ${seed} --cases ${BATCH_CASES}`);
        process.exitCode = 1;
        return;
      }
      done += count;
      const seconds = (performance.now() - startedAt) / 1000;
      progress.say(`${done} of ${total} cases, seed ${seed}, ${seconds.toFixed(0)} s`);
    }
  }
  progress.clear();
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(`${done} cases from seed ${first}, ${seconds.toFixed(1)} s, ${(done / seconds).toFixed(0)} a second`);
}
