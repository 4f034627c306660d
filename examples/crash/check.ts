/**
 * For skink crashes --check: is everything there that had been acknowledged when the power was cut?
 *
 *     node examples/crash/check.ts sqlite-wal {mount} "$SKINK_MARK"
 */
import { WORKLOADS, type WorkloadName } from "./workloads.ts";

const [name = "", place = "", mark = ""] = process.argv.slice(2);
const workload = WORKLOADS[name as WorkloadName];
const [acknowledged] = /\d+/.exec(mark) ?? [];
if (workload === undefined || place === "" || acknowledged === undefined) {
  console.error(`usage: check.ts WORKLOAD PLACE MARK, where WORKLOAD is one of ${Object.keys(WORKLOADS).join(", ")}`);
  // As a shell has it for what can't be run: it is no finding about the disk.
  process.exit(126);
}
try {
  await workload.check(place, Number(acknowledged));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
