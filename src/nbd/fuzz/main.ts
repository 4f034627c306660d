/**
 * npm run fuzz [-- --cases N] [--seed S]: tries the properties of the protocol on as many cases, in batches that take a seed
 * each: S, S + 1, …. Tells each second how far it is. The first failure ends it, with the line that replays its batch.
 */
import { parseArgs } from "node:util";
import { casesOf, PROPERTIES, tryCases } from "./properties.ts";

const USAGE = "usage: npm run fuzz -- [--cases N] [--seed S]";
const HELP = `${USAGE}

  --cases N   how many (100000)
  --seed S    the first batch's seed; drawn if left out

Tries the server's session, the client's parsers and the codecs on drawn, recorded, mutated and spliced traffic.`;
const BATCH_CASES = 1000;
const PROGRESS_MS = 1000;
const MAX_SEED = 2 ** 31;

const { cases, firstSeed } = readArguments();
await fuzz(cases, firstSeed);

/** What is asked for. Ends the process where that is help, or makes no sense. */
function readArguments(): { cases: number; firstSeed: number } {
  try {
    const { values } = parseArgs({
      options: {
        cases: { type: "string", default: "100000" },
        seed: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(HELP);
      process.exit(0);
    }
    const drawn = Math.floor(Math.random() * MAX_SEED);
    return {
      cases: wholeNumber("cases", values.cases),
      firstSeed: values.seed === undefined ? drawn : wholeNumber("seed", values.seed),
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

async function fuzz(total: number, first: number): Promise<void> {
  const startedAt = performance.now();
  let toldAt = startedAt;
  let done = 0;
  for (let seed = first; done < total; seed++) {
    for (const property of PROPERTIES) {
      const count = casesOf(property, BATCH_CASES);
      const verdict = await tryCases(property, count, seed);
      if (verdict.failed) {
        console.error(`"${property.claim}" is not so:\n${verdict.report}`);
        console.error(`replay it: npm run fuzz -- --seed ${seed} --cases ${BATCH_CASES}`);
        process.exitCode = 1;
        return;
      }
      done += count;
      const now = performance.now();
      if (now - toldAt < PROGRESS_MS) continue;
      toldAt = now;
      console.error(`${done} of ${total} cases, seed ${seed}, ${((now - startedAt) / 1000).toFixed(0)} s`);
    }
  }
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(`${done} cases from seed ${first}, ${seconds.toFixed(1)} s, ${(done / seconds).toFixed(0)} a second`);
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Error(`Cannot use --${name} ${text}: a whole number was wanted`);
}
