import { parentPort, workerData } from "node:worker_threads";
import { type Part, Surveyor } from "./survey.ts";

const surveyor = new Surveyor();
for (const part of workerData as readonly Part[]) {
  const found = surveyor.survey(part);
  parentPort?.postMessage(found);
  if (found.failure !== undefined) break;
}
