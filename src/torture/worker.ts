/** The process in which trials run, one after another: what dies or hangs with it is one trial. See worker-process.ts. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import type { DeviceSpec } from "../front/spec.ts";
import { dieWithParent } from "../os/parent-death.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { placeSpec } from "./place.ts";
import type { TrialResult } from "./plan.ts";
import { isBare, prepareStand } from "./prepare.ts";
import { probe } from "./probe.ts";
import { Trial } from "./trial.ts";

const SIGKILL = 9;
/** Devices beside the one that is tortured, of which "kill-all" kills the drivers as well. */
const NEIGHBOURS = 2;

if (dieWithParent(SIGKILL) !== process.ppid) process.exit(1);
// An end of the campaign in order comes this way.
process.on("disconnect", () => process.exit(0));
process.on("message", async (order: ToWorker) => {
  const begun = performance.now();
  const tell = (text: string): void => say({ type: "line", atMs: performance.now() - begun, text });
  try {
    if (order.type === "probe") {
      await probe(order.options, order.folder);
      say({ type: "fit" });
    } else {
      const result = await makeTrial(order, tell);
      say({ type: "result", result });
      // A front that did not stop is still in this process.
      if (result.incident !== undefined) process.disconnect?.();
    }
  } catch (error) {
    if (!(error instanceof SkinkError)) throw error;
    say({ type: "unfit", code: error.code, message: error.message });
  }
});

async function makeTrial(order: ToWorker & { type: "trial" }, tell: (line: string) => void): Promise<TrialResult> {
  const { options, folder, plan } = order;
  const spec = placeSpec(options.spec, folder);
  const neighbours = plan.fault.kind === "kill-all" ? placeNeighbours(options.spec, folder) : [];
  let trial: Trial | undefined;
  const { stand, mark } = prepareStand({
    spec,
    options,
    folder,
    fault: plan.fault,
    neighbours,
    strikes: () => trial?.strikes ?? [],
    tell,
  });
  // A null device forgets what it is given, or keeps it in its own process: nothing is left to be seen after a kill.
  const outlives = spec.kind !== "null";
  trial = new Trial({ plan, options, stand, mark, outlives, mayMix: isBare(spec, options), tell });
  const result = await trial.run();
  // What the trial has left to be done in this process doesn't count in the next one.
  await nextTurn();
  return result;
}

/** Each with a folder, and so a store, of its own. */
function placeNeighbours(spec: string, folder: string): DeviceSpec[] {
  return Array.from({ length: NEIGHBOURS }, (_, index) => {
    const own = join(folder, `neighbour-${index + 1}`);
    mkdirSync(own);
    return placeSpec(spec, own);
  });
}

function say(message: FromWorker): void {
  process.send?.(message);
}
