import { rotated } from "./compare.ts";
import { flush, type Measurement, measure, type Summary, summarize, warmUp } from "./measure.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { type SkinkServer, startSkink } from "./servers.ts";
import { median } from "./statistics.ts";
import { figure, table } from "./table.ts";
import { VOLATILE_DRIVER } from "./volatile.ts";

const SIZE = "512M";
export const LOG_SIZE = "256M";
const DEEP = 64;
const LEAST_RATIO = 0.95;
/** Of each round: short runs one after the other see the same machine, which others may use as well. */
const TURNS = 3;
const WRITES_PER_FLUSH = 32;

/** Each with a guard, so that all that differs is the home. */
export const HOMES = ["memory", "shm", "disk"] as const;
export type HomeKind = (typeof HOMES)[number];

interface Case {
  readonly title: string;
  readonly pattern: "randwrite" | "randread";
  readonly depth: number;
  /** Connections. */
  readonly jobs: number;
  readonly flushEvery?: number;
  /** Whether the cost of `shm` has a goal. */
  readonly isGoal: boolean;
}

const PLAIN: readonly Case[] = (["randwrite", "randread"] as const).flatMap((pattern) =>
  [DEEP, 1].map((depth) => ({
    title: `4 KiB random ${pattern === "randwrite" ? "write" : "read"}, QD ${depth}`,
    pattern,
    depth,
    jobs: 1,
    isGoal: depth === DEEP,
  })),
);
/** With more than one request in flight, fio's nbd engine repeats a flush until the next write: hence jobs of one each. */
const FLUSHING: readonly Case[] = [DEEP, 1].map((jobs) => ({
  title: `4 KiB random write, ${jobs} × QD 1, a flush each ${WRITES_PER_FLUSH}`,
  pattern: "randwrite",
  depth: 1,
  jobs,
  flushEvery: WRITES_PER_FLUSH,
  isGoal: jobs === DEEP,
}));

interface Row {
  readonly driver: string;
  readonly load: string;
  readonly isGoal: boolean;
  readonly homes: Readonly<Record<HomeKind, Summary>>;
  /** Of each turn, IOPS to those of `memory` in the same one. */
  readonly ratios: Readonly<Record<HomeKind, readonly number[]>>;
}

export const homes: Part = {
  name: "homes",
  summary: `what a home costs: ${HOMES.join(", ")} in turns`,
  needs: ["fio"],

  async run(bench, settings, progress) {
    const drivers = [
      { driver: "memory", spec: () => `memory:${SIZE}`, cases: PLAIN },
      { driver: "file", spec: (home: string) => `file:${bench.path(`${home}.img`)}?size=${SIZE}`, cases: PLAIN },
      { driver: "volatile", spec: () => `${VOLATILE_DRIVER}?size=${SIZE}`, cases: FLUSHING },
    ];
    const rows: Row[] = [];
    for (const { driver, spec, cases } of drivers) {
      const servers: { home: HomeKind; server: SkinkServer }[] = [];
      for (const home of HOMES) {
        progress.say(`warming up ${driver}, home ${home}`);
        const name = `${driver}-${home}`;
        // Fronts with the same spec have stores of their own.
        const flags = ["--guard", "--shared", "--home", homeSpec(home, bench.path(`${name}.log`))];
        const server = await startSkink(bench, { name, spec: spec(home), flags });
        await warmUp(bench, server);
        servers.push({ home, server });
      }
      for (const load of cases) {
        const runs: Record<HomeKind, Measurement[]> = { memory: [], shm: [], disk: [] };
        for (let turn = 0; turn < settings.rounds * TURNS; turn++) {
          for (const { home, server } of rotated(servers, turn)) {
            progress.say(`${driver}, ${load.title}: turn ${turn + 1} of ${settings.rounds * TURNS}, home ${home}`);
            await flush(server);
            const uris = Array.from({ length: load.jobs }, () => server.uris[0] as string);
            const { pattern, depth, flushEvery } = load;
            const flushes = flushEvery === undefined ? {} : { flushEvery };
            const order = { pattern, depth, blockBytes: 4096, seconds: settings.seconds / TURNS, ...flushes };
            runs[home].push(await measure(bench, server, order, uris));
          }
        }
        rows.push(rowOf(driver, load, runs));
      }
      for (const { server } of servers) await bench.stop(server.tool);
    }
    return {
      report: {
        part: "homes",
        machine: thisMachine(),
        method:
          `Devices of ${SIZE}, each with a guard, that differ in their home alone; the log of home disk has ${LOG_SIZE}. ` +
          `The homes run one after the other, ${settings.rounds * TURNS} turns of ${figure(settings.seconds / TURNS)} s; ` +
          "medians. A ratio is to memory in the same turn: the median of all turns, then the least and the greatest. The " +
          `volatile driver has connections with one request in flight each, which flush after each ${WRITES_PER_FLUSH} writes.`,
        data: rows,
        tables: [
          table(["load", "home", "IOPS", "ratio", "least – greatest", "p50 µs", "p99 µs", "CPU µs/IO"], cellsOf(rows)),
        ],
        verdicts: rows
          .filter(({ isGoal }) => isGoal)
          .map(({ driver, load, ratios }) => {
            const ratio = median(ratios.shm);
            return {
              goal: `homes, ${driver}, ${load}: shm at least ${LEAST_RATIO} of memory`,
              measured: `${ratio.toFixed(2)} (${spread(ratios.shm)})`,
              met: ratio >= LEAST_RATIO,
            };
          }),
      },
    };
  },
};

/** What `--home` says. */
export function homeSpec(home: HomeKind, log: string): string {
  return home === "disk" ? `disk:${log}?size=${LOG_SIZE}` : home;
}

function rowOf(driver: string, { title, isGoal }: Case, runs: Readonly<Record<HomeKind, readonly Measurement[]>>): Row {
  const ofEach = <Result>(make: (all: readonly Measurement[]) => Result): Record<HomeKind, Result> => ({
    memory: make(runs.memory),
    shm: make(runs.shm),
    disk: make(runs.disk),
  });
  const ratios = ofEach((all) => all.map(({ iops }, round) => iops / (runs.memory[round]?.iops ?? Number.NaN)));
  return { driver, load: title, isGoal, homes: ofEach(summarize), ratios };
}

function cellsOf(rows: readonly Row[]): string[][] {
  return rows.flatMap(({ driver, load, homes: summaries, ratios }) =>
    HOMES.map((home) => {
      const { iops, p50Us, p99Us, cpuUsPerIo } = summaries[home];
      const ofMemory = home === "memory" ? ["1.00", ""] : [median(ratios[home]).toFixed(2), spread(ratios[home])];
      return [`${driver}, ${load}`, home, figure(iops), ...ofMemory, ...[p50Us, p99Us, cpuUsPerIo].map(figure)];
    }),
  );
}

function spread(ratios: readonly number[]): string {
  return `${Math.min(...ratios).toFixed(2)} – ${Math.max(...ratios).toFixed(2)}`;
}
