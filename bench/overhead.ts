import { peer } from "../test/peers.ts";
import { rotated } from "./compare.ts";
import { type Measurement, measure, type Summary, summarize, warmUp } from "./measure.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { type Server, startNbdkit, startSkink } from "./servers.ts";
import { figure, table } from "./table.ts";

const SPEC = "null:1G";

/** What a configuration has that the one before it hasn't. */
interface Level {
  readonly name: string;
  readonly adds: string;
  readonly flags: readonly string[];
}

/** Each one has all that the one before it has, and one thing more. */
const LEVELS: readonly Level[] = [
  { name: "inline", adds: "front and driver, in one process", flags: ["--link", "inline", "--no-shadow"] },
  { name: "process", adds: "link: a driver process, shared memory", flags: ["--no-shadow"] },
  { name: "shadow", adds: "shadow, in memory", flags: [] },
  { name: "shm", adds: "shadow in shared memory", flags: ["--guard", "--home", "shm"] },
];
const OUTSIDER = "nbdkit null";

const LOADS = (["randread", "randwrite"] as const).flatMap((pattern) =>
  [1, 16, 64].map((depth) => ({ pattern, depth, blockBytes: 4096 })),
);
type Load = (typeof LOADS)[number];

interface Row {
  readonly load: Load;
  readonly server: string;
  readonly summary: Summary;
}

export const overhead: Part = {
  name: "overhead",
  summary: "what front, link and shadow cost for each request, on the null driver",
  needs: ["fio"],

  async run(bench, settings, progress) {
    const servers = new Map<string, Server>();
    for (const { name, flags } of LEVELS) {
      servers.set(name, await startSkink(bench, { name, spec: SPEC, flags }));
    }
    const missing = peer("nbdkit");
    if (missing === false) servers.set(OUTSIDER, await startNbdkit(bench, "nbdkit", ["null", "1G"]));
    for (const [name, server] of servers) {
      progress.say(`warming up ${name}`);
      await warmUp(bench, server);
    }
    const rows: Row[] = [];
    for (const [index, load] of LOADS.entries()) {
      const runs = new Map<string, Measurement[]>([...servers.keys()].map((name) => [name, []]));
      for (let round = 0; round < settings.rounds; round++) {
        progress.say(`load ${index + 1} of ${LOADS.length}, round ${round + 1} of ${settings.rounds}`);
        for (const [name, server] of rotated([...servers], round)) {
          runs.get(name)?.push(await measure(bench, server, { ...load, seconds: settings.seconds }));
        }
      }
      for (const [server, all] of runs) rows.push({ load, server, summary: summarize(all) });
    }
    return {
      report: {
        part: "overhead",
        machine: thisMachine(),
        method:
          `${SPEC}, which stores nothing: what is measured is what stands in front of a driver. fio's nbd engine over a unix socket, 4 KiB at random; ` +
          `each configuration has one thing more than the one before it. ${settings.rounds} rounds in turns, ${settings.seconds} s a run, medians. ` +
          "CPU is the user and system time of all processes of the server, the receiving and sending of data included.",
        data: rows,
        tables: [
          table(
            ["load", "server", "IOPS", "p50 µs", "CPU µs/IO", "of that added", "by"],
            rows.map((row) => cells(row, rows)),
          ),
        ],
        verdicts: [],
      },
      ...(missing === false ? {} : { leftOut: [`${OUTSIDER}: ${missing}`] }),
    };
  },
};

function cells({ load, server, summary }: Row, rows: readonly Row[]): string[] {
  const at = LEVELS.findIndex(({ name }) => name === server);
  const before = rows.find((row) => row.load === load && row.server === LEVELS[at - 1]?.name);
  const added = at === -1 ? "" : (summary.cpuUsPerIo - (before?.summary.cpuUsPerIo ?? 0)).toFixed(2);
  return [
    `${load.pattern === "randread" ? "read" : "write"}, QD ${load.depth}`,
    server,
    figure(summary.iops),
    figure(summary.p50Us),
    figure(summary.cpuUsPerIo),
    added,
    LEVELS[at]?.adds ?? "",
  ];
}
