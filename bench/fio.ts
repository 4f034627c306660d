import { SkinkError } from "../src/block/errors.ts";
import type { Workbench } from "./workbench.ts";

/** A load that fio puts on NBD servers. */
export interface Load {
  readonly pattern: "randread" | "randwrite" | "randrw" | "read" | "write";
  readonly blockBytes: number;
  /** Requests in flight, for each job. */
  readonly depth: number;
  /** One job, with a connection of its own, for each entry. */
  readonly uris: readonly string[];
  /** Runs that long; without it once over the whole device. */
  readonly seconds?: number;
  /** A flush after so many writes of a job. */
  readonly flushEvery?: number;
}

/** What one run of a load came to. Latencies are those of reads, or of writes where there are any. */
export interface LoadResult {
  readonly ios: number;
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Of its flushes; NaN where there were none. */
  readonly flushP50Us: number;
  readonly flushP99Us: number;
}

interface FioDirection {
  readonly total_ios: number;
  readonly iops: number;
  readonly bw_bytes: number;
  readonly clat_ns: FioLatencies;
}

interface FioLatencies {
  readonly percentile?: Readonly<Record<string, number>>;
}

interface FioJob {
  readonly error: number;
  readonly read: FioDirection;
  readonly write: FioDirection;
  readonly sync?: { readonly lat_ns?: FioLatencies };
}

/** Runs fio's nbd engine once, as one process with a thread for each job. */
export async function runFio(bench: Workbench, load: Load): Promise<LoadResult> {
  const args = [
    "--output-format=json",
    "--name=global",
    "--ioengine=nbd",
    "--thread",
    "--group_reporting",
    // The map of blocks already visited costs the client time and tells the server nothing.
    "--norandommap",
    `--rw=${load.pattern}`,
    `--bs=${load.blockBytes}`,
    `--iodepth=${load.depth}`,
  ];
  if (load.seconds !== undefined) args.push("--time_based", `--runtime=${Math.round(load.seconds * 1000)}ms`);
  if (load.flushEvery !== undefined) args.push(`--fsync=${load.flushEvery}`);
  for (const [index, uri] of load.uris.entries()) args.push(`--name=job${index}`, `--uri=${uri}`);
  return parseFio(await bench.run("fio", args));
}

/** Reads fio's report, of the one group that there is. */
export function parseFio(output: string): LoadResult {
  // Its messages come first, on the same stream.
  const start = output.search(/^\{$/m);
  const report = start === -1 ? {} : (JSON.parse(output.slice(start)) as { jobs?: readonly FioJob[] });
  const job = report.jobs?.[0];
  if (job === undefined) throw new SkinkError("no-report", "Cannot read fio's report: there is none, JSON was wanted");
  if (job.error !== 0) throw new SkinkError("load-failed", `Cannot run the load: fio saw error ${job.error}`);
  const main = job.write.total_ios > 0 ? job.write : job.read;
  return {
    ios: job.read.total_ios + job.write.total_ios,
    iops: job.read.iops + job.write.iops,
    bytesPerSecond: job.read.bw_bytes + job.write.bw_bytes,
    p50Us: latencyUs(main.clat_ns, "50.000000"),
    p99Us: latencyUs(main.clat_ns, "99.000000"),
    flushP50Us: latencyUs(job.sync?.lat_ns, "50.000000"),
    flushP99Us: latencyUs(job.sync?.lat_ns, "99.000000"),
  };
}

function latencyUs(latencies: FioLatencies | undefined, percent: string): number {
  return (latencies?.percentile?.[percent] ?? Number.NaN) / 1000;
}
