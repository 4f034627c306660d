/**
 * The load of the demo in a thread of its own, so that it keeps no front waiting and its stalls are the device's.
 *
 *   ▶ { type: "killed" }                 a driver was killed just now
 *   ▶ { type: "finish" }                 stop, read everything back, report
 *   ◀ { type: "progress", report }       every PROGRESS_MS
 *   ◀ { type: "finished", report }
 */
import { parentPort, workerData } from "node:worker_threads";
import { type LoadTally, VerifyingLoad } from "../load/load.ts";
import { blocks } from "../load/patterns.ts";
import { NbdClient } from "../nbd/client/client.ts";

const BLOCK_BYTES = 4096;
/** Of a hundred requests. */
const WRITES = 60;
const PROGRESS_MS = 200;

export interface DemoLoad {
  readonly uri: string;
  readonly seed: number;
  readonly bytes: number;
  readonly queueDepth: number;
  /** After about so many writes comes a flush. */
  readonly writesPerFlush: number;
}

export interface LoadReport extends LoadTally {
  /** After each kill, the longest time without any completion until the next one, or the end. Milliseconds. */
  readonly stallsMs: readonly number[];
}

export type ToLoad = { readonly type: "killed" | "finish" };
export type FromLoad = { readonly type: "progress" | "finished"; readonly report: LoadReport };

if (parentPort !== null) await work(parentPort);

async function work(port: NonNullable<typeof parentPort>): Promise<void> {
  const { uri, seed, bytes, queueDepth, writesPerFlush } = workerData as DemoLoad;
  const client = await NbdClient.connect(uri);
  const pattern = blocks(BLOCK_BYTES, WRITES, Math.round((writesPerFlush * 100) / WRITES));
  const load = new VerifyingLoad([client], { pattern, seed, depth: queueDepth, bytes, sectorBytes: BLOCK_BYTES });
  const stallsMs: number[] = [];
  let killed = false;
  const post = (type: FromLoad["type"]): void => {
    port.postMessage({ type, report: { ...load.tally, stallsMs } } satisfies FromLoad);
  };
  const takeStall = (): void => {
    const gap = load.takeLongestGapMs();
    if (killed) stallsMs.push(gap);
  };
  const finished = new Promise<void>((resolve) => {
    port.on("message", ({ type }: ToLoad) => {
      takeStall();
      if (type === "killed") killed = true;
      else resolve();
    });
  });
  const progress = setInterval(() => post("progress"), PROGRESS_MS);
  load.start();
  await finished;
  await load.stop();
  await load.readBack();
  clearInterval(progress);
  post("finished");
  await client.close();
  port.close();
}
