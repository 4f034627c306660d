import { closeSync, ftruncateSync, openSync } from "node:fs";
import { type Peer, peer } from "../test/peers.ts";
import { CASES, type Case, compareValue } from "./cases.ts";
import { type Measurement, measure, type Summary, summarize, warmUp } from "./measure.ts";
import type { Part } from "./part.ts";
import { thisMachine, type Verdict } from "./results.ts";
import { type Server, startNbdkit, startQemuNbd, startSkink } from "./servers.ts";
import { figure, table } from "./table.ts";
import type { Workbench } from "./workbench.ts";

const DEVICE_BYTES = 2 ** 30;
/** What must be left of a server's own speed with Skink in front, where requests are many. */
const LEAST_RATIO = 0.7;
const GOAL_DEPTH = 64;

/** A server, as it is by itself and as Skink starts it. */
interface Subject {
  readonly name: string;
  readonly peer: Peer;
  readonly command: (file: string) => string;
  direct(bench: Workbench, file: string): Promise<Server>;
}

const SUBJECTS: readonly Subject[] = [
  {
    name: "nbdkit file",
    peer: "nbdkit",
    command: (file) => `exec:nbdkit -f -U {socket} file ${file}`,
    direct: (bench, file) => startNbdkit(bench, "file", ["file", file]),
  },
  {
    name: "nbdkit memory",
    peer: "nbdkit",
    command: () => "exec:nbdkit -f -U {socket} memory 1G",
    direct: (bench) => startNbdkit(bench, "memory", ["memory", "1G"]),
  },
  {
    name: "qemu-nbd",
    peer: "qemu-nbd",
    command: (file) =>
      "exec:qemu-nbd --persistent --shared 16 --socket {socket} " +
      `--image-opts driver=raw,file.driver=file,file.filename=${file},file.locking=off`,
    direct: (bench, file) => startQemuNbd(bench, "qemu", file),
  },
];

interface Row {
  readonly subject: string;
  readonly case: string;
  readonly direct: Summary;
  readonly through: Summary;
  /** Of what the case compares, through Skink to direct. */
  readonly ratio: number;
}

export const foreign: Part = {
  name: "foreign",
  summary: "NBD servers with Skink in front of them, beside the same servers alone",
  needs: ["fio"],

  async run(bench, settings, progress) {
    const leftOut: string[] = [];
    const rows: Row[] = [];
    for (const subject of SUBJECTS) {
      const cases = CASES.filter(({ id }) => settings.only?.test(`${subject.name} ${id}`) ?? true);
      if (cases.length === 0) continue;
      const missing = peer(subject.peer);
      if (missing !== false) {
        leftOut.push(`${subject.name}: ${missing}`);
        continue;
      }
      progress.say(`warming up ${subject.name}`);
      const file = bench.path(`${subject.name.replace(" ", "-")}.img`);
      makeFile(file);
      const name = `skink-${subject.name.replace(" ", "-")}`;
      const direct = await subject.direct(bench, file);
      const through = await startSkink(bench, { name, spec: subject.command(file) });
      for (const server of [direct, through]) await warmUp(bench, server);
      for (const load of cases) {
        const runs: { direct: Measurement[]; through: Measurement[] } = { direct: [], through: [] };
        for (let round = 0; round < settings.rounds; round++) {
          progress.say(`${subject.name}, ${load.title}: round ${round + 1} of ${settings.rounds}`);
          const turns = [
            ["direct", direct],
            ["through", through],
          ] as const;
          for (const [way, server] of round % 2 === 0 ? turns : turns.toReversed()) {
            runs[way].push(await measure(bench, server, { ...load, seconds: settings.seconds }));
          }
        }
        rows.push(rowOf(subject, load, summarize(runs.direct), summarize(runs.through)));
      }
      await bench.stop(direct.tool);
      await bench.stop(through.tool);
    }
    return {
      report: {
        part: "foreign",
        machine: thisMachine(),
        method:
          "fio's nbd engine over a unix socket, one connection; devices of 1 GiB, written once before, files in the page cache. " +
          "Each server by itself and one of the same kind that Skink has started take turns within each case; figures are " +
          `medians. CPU is that of all processes of the server, Skink's front and the server behind it together. ${settings.rounds} rounds, ${settings.seconds} s a run.`,
        data: rows,
        tables: [tableOf(rows)],
        verdicts: verdictsOf(rows),
      },
      ...(leftOut.length > 0 ? { leftOut } : {}),
    };
  },
};

function rowOf({ name }: Subject, load: Case, direct: Summary, through: Summary): Row {
  return {
    subject: name,
    case: load.id,
    direct,
    through,
    ratio: compareValue(load, through) / compareValue(load, direct),
  };
}

function tableOf(rows: readonly Row[]): string {
  const heads = ["server", "load", "alone", "through Skink", "ratio", "p50 µs", "through", "CPU µs/IO", "through"];
  return table(
    heads,
    rows.flatMap(({ subject, case: id, direct, through, ratio }) => {
      const load = CASES.find((one) => one.id === id);
      if (load === undefined) return [];
      const speed = (summary: Summary) => `${figure(compareValue(load, summary))} ${load.unit}`;
      const cells = [subject, load.title, speed(direct), speed(through), ratio.toFixed(2)];
      const latency = [figure(direct.p50Us), figure(through.p50Us)];
      return [[...cells, ...latency, figure(direct.cpuUsPerIo), figure(through.cpuUsPerIo)]];
    }),
  );
}

function verdictsOf(rows: readonly Row[]): Verdict[] {
  return rows.flatMap(({ subject, case: id, ratio }) => {
    const load = CASES.find((one) => one.id === id);
    if (load?.depth !== GOAL_DEPTH) return [];
    return [
      {
        goal: `${subject} behind Skink, ${load.title}: at least ${LEAST_RATIO} of its own speed`,
        measured: ratio.toFixed(2),
        met: ratio >= LEAST_RATIO,
      },
    ];
  });
}

function makeFile(path: string): void {
  const fd = openSync(path, "wx");
  ftruncateSync(fd, DEVICE_BYTES);
  closeSync(fd);
}
