import { parentPort, workerData } from "node:worker_threads";
import { type SweepTask, sweepHere } from "./sweep.ts";

// A thread of a sweep: its part of the seeds, told batch by batch.
for (const part of sweepHere(workerData as SweepTask)) parentPort?.postMessage(part);
