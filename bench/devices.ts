import { writeFileSync } from "node:fs";
import { type Measurement, measure, type Summary, summarize, warmUp } from "./measure.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { type Server, startSkink } from "./servers.ts";
import { figure, table } from "./table.ts";

const DEVICE_COUNTS = [1, 8, 32];
/** The same for each count, so that the client's part is the same too: always as many connections, as deep. */
const JOBS = 32;
const DEPTH = 2;
const TOTAL_MIB = 1024;
const PATTERNS = ["randread", "randwrite"] as const;

interface Row {
  readonly devices: number;
  readonly pattern: (typeof PATTERNS)[number];
  readonly summary: Summary;
}

export const devices: Part = {
  name: "devices",
  summary: `the same load on ${DEVICE_COUNTS.join(", ")} devices of one front`,
  needs: ["fio"],

  async run(bench, settings, progress) {
    const fronts: { count: number; server: Server; uris: string[] }[] = [];
    for (const count of DEVICE_COUNTS) {
      progress.say(`warming up ${count} devices`);
      const spec = bench.path(`of-${count}.yaml`);
      writeFileSync(spec, config(count));
      const server = await startSkink(bench, { name: `of-${count}`, spec, devices: count });
      await warmUp(bench, server);
      fronts.push({
        count,
        server,
        uris: Array.from({ length: JOBS }, (_, job) => server.uris[job % count] as string),
      });
    }
    const rows: Row[] = [];
    for (const pattern of PATTERNS) {
      const runs = new Map<number, Measurement[]>(DEVICE_COUNTS.map((count) => [count, []]));
      for (let round = 0; round < settings.rounds; round++) {
        for (const { count, server, uris } of fronts) {
          progress.say(`${pattern}, round ${round + 1} of ${settings.rounds}, ${count} devices`);
          const load = { pattern, blockBytes: 4096, depth: DEPTH, seconds: settings.seconds };
          runs.get(count)?.push(await measure(bench, server, load, uris));
        }
      }
      for (const [count, all] of runs) rows.push({ devices: count, pattern, summary: summarize(all) });
    }
    const cells = rows.map(({ devices: count, pattern, summary }) => [
      `4 KiB ${pattern === "randread" ? "random read" : "random write"}`,
      String(count),
      figure(summary.iops),
      figure(summary.p50Us),
      figure(summary.p99Us),
      figure(summary.cpuUsPerIo),
    ]);
    return {
      report: {
        part: "devices",
        machine: thisMachine(),
        method:
          `One front with 1 GiB of memory devices in all, each with a driver host of its own; ${JOBS} connections with ` +
          `${DEPTH} requests in flight each, spread over the devices. ${settings.rounds} rounds in turns, ` +
          `${settings.seconds} s a run, medians of the totals.`,
        data: rows,
        tables: [table(["load", "devices", "IOPS", "p50 µs", "p99 µs", "CPU µs/IO"], cells)],
        verdicts: [],
      },
    };
  },
};

function config(count: number): string {
  const entries = Array.from({ length: count }, (_, index) => {
    return `  - name: disk${index}\n    spec: memory:${TOTAL_MIB / count}M\n`;
  });
  return `devices:\n${entries.join("")}`;
}
