import { closeSync, fdatasyncSync, ftruncateSync, openSync } from "node:fs";
import { type Peer, peer } from "../test/peers.ts";
import { BASELINE, CASES, type Case, compareValue, type Entry, goalOf, type Kind, SKINK } from "./cases.ts";
import { type Measurement, measure, summarize, warmUp } from "./measure.ts";
import type { Part } from "./part.ts";
import { drawComparison } from "./picture.ts";
import { thisMachine, type Verdict } from "./results.ts";
import { type Server, startNbdkit, startQemuNbd, startSkink } from "./servers.ts";
import { figure, table } from "./table.ts";
import type { Workbench } from "./workbench.ts";

const DEVICE_BYTES = 2 ** 30;

/** Who competes. The names are the keys of the results and stand in tables and pictures. */
interface Contestant {
  readonly name: string;
  readonly kind: Kind;
  readonly peer?: Peer;
  start(bench: Workbench, file: string): Promise<Server>;
}

const CONTESTANTS: readonly Contestant[] = [
  { name: SKINK, kind: "memory", start: (bench) => startSkink(bench, { name: "memory", spec: "memory:1G" }) },
  {
    name: "Skink inline",
    kind: "memory",
    start: (bench) => startSkink(bench, { name: "inline", spec: "memory:1G", flags: ["--link", "inline"] }),
  },
  {
    name: BASELINE,
    kind: "memory",
    peer: "nbdkit",
    start: (bench) => startNbdkit(bench, "kit-memory", ["memory", "1G"]),
  },
  { name: SKINK, kind: "file", start: (bench, file) => startSkink(bench, { name: "file", spec: `file:${file}` }) },
  {
    name: BASELINE,
    kind: "file",
    peer: "nbdkit",
    start: (bench, file) => startNbdkit(bench, "kit-file", ["file", file]),
  },
  { name: "qemu-nbd", kind: "file", peer: "qemu-nbd", start: (bench, file) => startQemuNbd(bench, "qemu", file) },
];

const METHOD =
  "fio's nbd engine over a unix socket, one connection; devices of 1 GiB, written once before. All file servers serve " +
  "the same file, warm in the page cache and written back before each run. The servers take turns within each case; each figure is the median of its " +
  "runs. The ratio is to nbdkit of the same kind. CPU is the user and system time of all processes of the server.";

export const compare: Part = {
  name: "compare",
  summary: "Skink beside nbdkit and qemu-nbd, 4 KiB random and 1 MiB sequential (the default)",
  needs: ["fio"],

  async run(bench, settings, progress) {
    const leftOut: string[] = [];
    const file = bench.path("disk.img");
    makeFile(file);
    const wanted = (kind: Kind, load: Case): boolean => settings.only?.test(`${kind} ${load.id}`) ?? true;

    const servers = new Map<Contestant, Server>();
    for (const contestant of CONTESTANTS) {
      if (!CASES.some((load) => wanted(contestant.kind, load))) continue;
      const missing = contestant.peer === undefined ? false : peer(contestant.peer);
      if (missing !== false) {
        leftOut.push(`${contestant.name} ${contestant.kind}: ${missing}`);
        continue;
      }
      progress.say(`warming up ${contestant.name} ${contestant.kind}`);
      const server = await contestant.start(bench, file);
      await warmUp(bench, server);
      servers.set(contestant, server);
    }

    const entries: Entry[] = [];
    const planned = CASES.filter((load) => [...servers.keys()].some(({ kind }) => wanted(kind, load)));
    for (const [index, load] of planned.entries()) {
      const runs = new Map<Contestant, Measurement[]>();
      const running = [...servers].filter(([{ kind }]) => wanted(kind, load));
      for (let round = 0; round < settings.rounds; round++) {
        for (const [contestant, server] of rotated(running, round)) {
          progress.say(
            `case ${index + 1} of ${planned.length}, ${load.title}: round ${round + 1} of ${settings.rounds}, ${contestant.name} ${contestant.kind}`,
          );
          if (contestant.kind === "file") settle(file);
          const measurement = await measure(bench, server, { ...load, seconds: settings.seconds });
          runs.set(contestant, [...(runs.get(contestant) ?? []), measurement]);
        }
      }
      entries.push(...compared(load, runs));
    }

    return {
      report: {
        part: "compare",
        machine: thisMachine(),
        method: `${METHOD} ${settings.rounds} rounds, ${settings.seconds} s a run.`,
        data: entries,
        tables: (["memory", "file"] as const).flatMap((kind) => tableOf(kind, entries)),
        verdicts: verdictsOf(entries),
      },
      picture: drawComparison(entries),
      ...(leftOut.length > 0 ? { leftOut } : {}),
    };
  },
};

/** Nobody starts with what another one left to be written. */
function settle(path: string): void {
  const fd = openSync(path, "r+");
  fdatasyncSync(fd);
  closeSync(fd);
}

function compared(load: Case, runs: ReadonlyMap<Contestant, readonly Measurement[]>): Entry[] {
  const summaries = [...runs].map(([contestant, all]) => ({ contestant, summary: summarize(all) }));
  return summaries.map(({ contestant: { kind, name }, summary }) => {
    const base = summaries.find(({ contestant }) => contestant.kind === kind && contestant.name === BASELINE);
    const ratio = base === undefined ? {} : { ratio: compareValue(load, summary) / compareValue(load, base.summary) };
    return { kind, case: load.id, server: name, ...ratio, summary };
  });
}

function tableOf(kind: Kind, entries: readonly Entry[]): string[] {
  const rows = CASES.flatMap((load) =>
    entries
      .filter((entry) => entry.kind === kind && entry.case === load.id)
      .map(({ server, ratio, summary }) => [
        load.title,
        server,
        `${figure(compareValue(load, summary))} ${load.unit}`,
        ratio === undefined ? "–" : ratio.toFixed(2),
        figure(summary.p50Us),
        figure(summary.p99Us),
        figure(summary.cpuUsPerIo),
        server === SKINK ? goalText(kind, load, ratio) : "",
      ]),
  );
  if (rows.length === 0) return [];
  const heads = [kind, "server", "median", "ratio", "p50 µs", "p99 µs", "CPU µs/IO", "goal"];
  return [table(heads, rows)];
}

function goalText(kind: Kind, load: Case, ratio: number | undefined): string {
  const goal = goalOf(kind, load);
  if (goal === undefined) return "";
  const verdict = ratio === undefined ? "not compared" : ratio >= goal.least ? "met" : "not met";
  return `≥ ${goal.least.toFixed(1)} ${verdict}`;
}

function verdictsOf(entries: readonly Entry[]): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const { kind, case: id, server, ratio } of entries) {
    const load = CASES.find((one) => one.id === id);
    const goal = load === undefined ? undefined : goalOf(kind, load);
    if (load === undefined || goal === undefined || server !== SKINK || ratio === undefined) continue;
    const aim = goal.aim === undefined ? "" : ` (aim ${goal.aim.toFixed(1)})`;
    verdicts.push({
      goal: `${kind}, ${load.title}: at least ${goal.least.toFixed(1)} of nbdkit${aim}`,
      measured: ratio.toFixed(2),
      met: ratio >= goal.least,
    });
  }
  return verdicts;
}

/** Each round starts with another server, so that none always follows the same one. */
export function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

function makeFile(path: string): void {
  const fd = openSync(path, "wx");
  ftruncateSync(fd, DEVICE_BYTES);
  closeSync(fd);
}
