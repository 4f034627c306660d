import { parentPort, workerData } from "node:worker_threads";
import { type Part, survey } from "./survey.ts";

for (const part of workerData as readonly Part[]) {
  const found = survey(part);
  parentPort?.postMessage(found);
  if (found.failure !== undefined) break;
}
