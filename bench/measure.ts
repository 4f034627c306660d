import { NbdClient } from "../src/nbd/index.ts";
import { cpuTimeUs } from "./cpu.ts";
import { type Load, runFio } from "./fio.ts";
import type { Server } from "./servers.ts";
import { median } from "./statistics.ts";
import type { Workbench } from "./workbench.ts";

/** 4 KiB requests after the first pass, so that just-in-time compilers have seen them. */
const WARM_UP_SECONDS = 1;

/** One run of a load on one server. */
export interface Measurement {
  readonly iops: number;
  readonly mibPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** User and system time of the server's processes, for each request. */
  readonly cpuUsPerIo: number;
}

/** Medians of several runs, each figure by itself. */
export interface Summary extends Measurement {
  readonly rounds: number;
  readonly minIops: number;
  readonly maxIops: number;
}

/** Runs a load on a server's only device, or on those named. */
export async function measure(
  bench: Workbench,
  server: Server,
  load: Omit<Load, "uris">,
  uris = server.uris,
): Promise<Measurement> {
  const before = cpuTimeUs(server.tool.pid);
  const result = await runFio(bench, { ...load, uris });
  const cpuUs = cpuTimeUs(server.tool.pid) - before;
  return {
    iops: result.iops,
    mibPerSecond: result.bytesPerSecond / (1 << 20),
    p50Us: result.p50Us,
    p99Us: result.p99Us,
    cpuUsPerIo: cpuUs / result.ios,
  };
}

/**
 * Writes the whole device once, since the first touch of a page costs more than all later ones, then runs a mix of
 * small requests.
 */
export async function warmUp(bench: Workbench, server: Server): Promise<void> {
  for (const uri of server.uris) await runFio(bench, { pattern: "write", blockBytes: 1 << 20, depth: 8, uris: [uri] });
  await runFio(bench, { pattern: "randrw", blockBytes: 4096, depth: 16, uris: server.uris, seconds: WARM_UP_SECONDS });
}

/** What has been written to a server is durable then: no run starts with what the one before has left to do. */
export async function flush(server: Server): Promise<void> {
  const client = await NbdClient.connect(server.uris[0] as string);
  await client.flush();
  await client.close();
}

export function summarize(runs: readonly Measurement[]): Summary {
  const middle = (pick: (run: Measurement) => number): number => median(runs.map(pick));
  const iops = runs.map((run) => run.iops);
  return {
    iops: median(iops),
    mibPerSecond: middle((run) => run.mibPerSecond),
    p50Us: middle((run) => run.p50Us),
    p99Us: middle((run) => run.p99Us),
    cpuUsPerIo: middle((run) => run.cpuUsPerIo),
    rounds: runs.length,
    minIops: Math.min(...iops),
    maxIops: Math.max(...iops),
  };
}
