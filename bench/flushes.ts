import { fileURLToPath } from "node:url";
import { runFio } from "./fio.ts";
import { homeSpec, LOG_SIZE } from "./homes.ts";
import { flush } from "./measure.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { type SkinkServer, startSkink } from "./servers.ts";
import { FLUSH_MS } from "./slow-flush.ts";
import { median } from "./statistics.ts";
import { figure, table } from "./table.ts";

const SLOW_DRIVER = fileURLToPath(new URL("slow-flush.ts", import.meta.url));
const SIZE = "512M";
const WRITES_PER_FLUSH = 4;
const JOBS = [1, 16];
const HOMES = ["memory", "disk"] as const;
type HomeKind = (typeof HOMES)[number];

interface Run {
  readonly iops: number;
  readonly flushP50Us: number;
  readonly flushP99Us: number;
}

interface Row extends Run {
  readonly store: string;
  readonly jobs: number;
  readonly home: HomeKind;
  readonly runs: readonly Run[];
}

export const flushes: Part = {
  name: "flushes",
  summary: `a flush each ${WRITES_PER_FLUSH} writes: what a log on disk saves a slow store, and costs a fast one`,
  needs: ["fio"],

  async run(bench, settings, progress) {
    const path = (store: string, home: string): string => bench.path(`${store}-${home}.img`);
    const stores = [
      { store: "file", title: "file", spec: (home: string) => `file:${path("file", home)}?size=${SIZE}` },
      {
        store: "slow",
        title: `flushes of ${FLUSH_MS} ms more`,
        spec: (home: string) => `${SLOW_DRIVER}?size=${SIZE}&path=${path("slow", home)}`,
      },
    ];
    const rows: Row[] = [];
    for (const { store, title, spec } of stores) {
      const servers: { home: HomeKind; server: SkinkServer }[] = [];
      for (const home of HOMES) {
        const flags = ["--home", homeSpec(home, bench.path(`${store}-${home}.log`))];
        const server = await startSkink(bench, { name: `${store}-${home}`, spec: spec(home), flags });
        progress.say(`warming up ${title}, home ${home}`);
        await runFio(bench, { pattern: "write", blockBytes: 1 << 20, depth: 8, uris: server.uris });
        servers.push({ home, server });
      }
      for (const jobs of JOBS) {
        const runs: Record<HomeKind, Run[]> = { memory: [], disk: [] };
        for (let round = 0; round < settings.rounds; round++) {
          for (const { home, server } of round % 2 === 0 ? servers : servers.toReversed()) {
            progress.say(`${title}, QD ${jobs}: round ${round + 1} of ${settings.rounds}, home ${home}`);
            await flush(server);
            const uris = Array.from({ length: jobs }, () => server.uris[0] as string);
            const load = { pattern: "randwrite", blockBytes: 4096, depth: 1, flushEvery: WRITES_PER_FLUSH } as const;
            runs[home].push(await runFio(bench, { ...load, uris, seconds: settings.seconds }));
          }
        }
        for (const home of HOMES) rows.push({ store: title, jobs, home, ...middle(runs[home]), runs: runs[home] });
      }
      for (const { server } of servers) await bench.stop(server.tool);
    }
    return {
      report: {
        part: "flushes",
        machine: thisMachine(),
        method:
          `4 KiB random writes with a flush after each ${WRITES_PER_FLUSH} of a connection; QD 16 are 16 connections with ` +
          "one request in flight each. The file driver, and the volatile driver with a file as its medium whose flush takes " +
          `${FLUSH_MS} ms more; with home memory a flush is the driver's, with home disk that of a log of ${LOG_SIZE}, all ` +
          `files on the same disk. ${settings.rounds} rounds in turns, ${settings.seconds} s a run, medians.`,
        data: rows,
        tables: [
          table(
            ["store", "QD", "home", "writes/s", "flush p50 µs", "flush p99 µs"],
            rows.map((row) => [
              row.store,
              String(row.jobs),
              row.home,
              ...[row.iops, row.flushP50Us, row.flushP99Us].map(figure),
            ]),
          ),
        ],
        verdicts: [],
      },
    };
  },
};

function middle(runs: readonly Run[]): Run {
  const of = (pick: (run: Run) => number): number => median(runs.map(pick));
  return {
    iops: of(({ iops }) => iops),
    flushP50Us: of(({ flushP50Us }) => flushP50Us),
    flushP99Us: of(({ flushP99Us }) => flushP99Us),
  };
}
