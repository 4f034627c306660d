/**
 * The load of the demo in a thread of its own, so that it keeps no front waiting and its stalls are the device's.
 *
 *   ▶ { type: "killed" }                 a driver was killed just now
 *   ▶ { type: "finish" }                 stop, read everything back, report
 *   ◀ { type: "progress", report }       every PROGRESS_MS
 *   ◀ { type: "finished", report }
 */
import { parentPort, workerData } from "node:worker_threads";
import { Load, type LoadOptions, type LoadResult } from "./load.ts";

const PROGRESS_MS = 200;

export interface LoadReport extends LoadResult {
  /** After each kill, the longest time without any completion until the next one, or the end. Milliseconds. */
  readonly stallsMs: readonly number[];
}

export type ToLoad = { readonly type: "killed" | "finish" };
export type FromLoad = { readonly type: "progress" | "finished"; readonly report: LoadReport };

if (parentPort !== null) await work(parentPort);

async function work(port: NonNullable<typeof parentPort>): Promise<void> {
  const load = await Load.connect(workerData as LoadOptions);
  const stallsMs: number[] = [];
  let killed = false;
  const post = (type: FromLoad["type"]): void => {
    port.postMessage({ type, report: { ...load.result, stallsMs } } satisfies FromLoad);
  };
  const takeStall = (): void => {
    const gap = load.takeLongestGapMs();
    if (killed) stallsMs.push(gap);
  };
  port.on("message", ({ type }: ToLoad) => {
    takeStall();
    if (type === "killed") killed = true;
    else load.stop();
  });
  const progress = setInterval(() => post("progress"), PROGRESS_MS);
  await load.run();
  await load.verify();
  clearInterval(progress);
  post("finished");
  await load.close();
  port.close();
}
