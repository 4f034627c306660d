import { setTimeout as delay } from "node:timers/promises";
import { askFront } from "../src/front/control-client.ts";
import { markedSkink } from "./front-death.ts";
import { HOMES, type HomeKind, homeSpec } from "./homes.ts";
import { DEPTH, LoadedDisk, RECONNECT } from "./loaded-disk.ts";
import { readMarks, timestampMs } from "./marks.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { type SkinkOptions, startSkink } from "./servers.ts";
import { type Stages, type StagesMs, stageFigure, stageNames, stagesOf } from "./stages.ts";
import { percentile } from "./statistics.ts";
import { figure, table } from "./table.ts";
import { VOLATILE_DRIVER } from "./volatile.ts";
import type { Workbench } from "./workbench.ts";

const HANDOVERS = 30;
const QUICK_HANDOVERS = 3;
/** From one return to the load until the next handover, at most: any time in it. */
const MAX_LIFE_MS = 200;
const GOAL_MS = 150;

/** From the word to the old front on. */
const STAGES: Stages = {
  until: { "the old front drains, flushes, closes": "control", "lock, fence, home; driver opened": "clients" },
  rest: "clients come again, and the rest",
};

interface Handover {
  /** The client's view: the longest time between two completions, with the start of the new front in it. */
  readonly stallMs: number;
  readonly stagesMs: StagesMs;
}

interface Case {
  readonly driver: string;
  readonly home: HomeKind;
  readonly guard: boolean;
}

/** Without a guard nobody keeps what home shm needs. */
const CASES: readonly Case[] = ["volatile", "file"].flatMap((driver) =>
  HOMES.flatMap((home) =>
    [false, true].flatMap((guard) => (home === "shm" && !guard ? [] : [{ driver, home, guard }])),
  ),
);

export const handover: Part = {
  name: "handover",
  summary: `${HANDOVERS} planned handovers each from one front to the next under load: how long the client waits`,
  needs: [],

  async run(bench, settings, progress) {
    const wanted = settings.quick ? QUICK_HANDOVERS : HANDOVERS;
    const results: (Case & { readonly handovers: readonly Handover[] })[] = [];
    const failures: string[] = [];
    let completed = 0;
    const considered = settings.quick ? CASES.filter(isQuick) : CASES;
    const cases = considered.filter((one) => settings.only?.test(titleOf(one)) ?? true);
    for (const [index, one] of cases.entries()) {
      const { driver, home, guard } = one;
      const marks = bench.path(`${index}.marks`);
      const image = bench.path(`${index}.img`);
      const spec = driver === "file" ? `file:${image}?size=256M` : `${VOLATILE_DRIVER}?size=256M&path=${image}`;
      const flags = ["--home", homeSpec(home, bench.path(`${index}.log`)), ...(guard ? ["--guard"] : [])];
      const options = { name: `${index}`, spec, flags, command: markedSkink(marks) };
      const disk = await LoadedDisk.start(bench, options, RECONNECT);
      const handovers: Handover[] = [];
      disk.load.start();
      while (handovers.length < wanted && !disk.hasFailed) {
        progress.say(
          `${titleOf(one)}: handover ${handovers.length + 1} of ${wanted}, ${disk.load.tally.requests} requests`,
        );
        await delay(Math.random() * MAX_LIFE_MS, undefined, { signal: bench.signal });
        handovers.push(await handOver(bench, disk, options, marks));
      }
      progress.say("reading everything back");
      failures.push(...(await disk.end()));
      completed += disk.load.tally.requests;
      results.push({ ...one, handovers });
    }
    const stallsOf = (handovers: readonly Handover[]): number[] => handovers.map(({ stallMs }) => stallMs);
    return {
      report: {
        part: "handover",
        machine: thisMachine(),
        method:
          `A front under a verifying load of ${DEPTH} requests in flight (4 KiB writes, a quarter reads, a flush in 32) by a ` +
          "client that reconnects at once is replaced by another one of the same version (`skink serve --take-over`), " +
          `${wanted} times for each driver and home, with a guard and without: ${completed} requests, ${failures.length} ` +
          "errors or lost writes. The volatile driver has a file as its medium. The stall is the longest time between two " +
          "completions, as the client sees it, with the start of the new front in it; its stages are told by the new front.",
        data: results,
        tables: [
          table(
            ["stall in milliseconds", "p50", "p99", "max", ...stageNames(STAGES)],
            results.map(({ handovers, ...one }) => [
              titleOf(one),
              ...[50, 99, 100].map((percent) => figure(percentile(stallsOf(handovers), percent))),
              ...stageNames(STAGES).map((stage) => stageFigure(handovers, stage)),
            ]),
          ),
        ],
        verdicts: [
          ...results.map(({ handovers, ...one }) => {
            const [p50, p99] = [50, 99].map((percent) => percentile(stallsOf(handovers), percent)) as [number, number];
            return {
              goal: `handover, ${titleOf(one)}: p99 of the stall at most ${GOAL_MS} ms`,
              measured: `${figure(p99)} ms in ${handovers.length} handovers, p50 ${figure(p50)} ms`,
              met: p99 <= GOAL_MS,
            };
          }),
          {
            goal: "handover: no error, no lost write",
            measured: `${failures.length} in ${completed} requests`,
            met: failures.length === 0,
          },
        ],
      },
      failures,
    };
  },
};

/** One of each home. */
function isQuick({ driver, guard }: Case): boolean {
  return driver === "volatile" && guard;
}

function titleOf({ driver, home, guard }: Case): string {
  return `${driver}, home ${home}${guard ? ", guard" : ""}`;
}

async function handOver(bench: Workbench, disk: LoadedDisk, options: SkinkOptions, marks: string): Promise<Handover> {
  const { load, server: old } = disk;
  await load.nextCompletion();
  load.takeLongestGapMs();
  const since = timestampMs();
  const flags = [...(options.flags ?? []), "--take-over"];
  const server = await startSkink(bench, { ...options, flags });
  disk.servedBy(server);
  await load.nextCompletion();
  const stallMs = load.takeLongestGapMs();
  const how = await bench.ended(old.tool);
  if (how !== "exit code 0") disk.failures.push(`The front before ended with ${how}\n${old.tool.errors()}`);
  const { pid } = await askFront(server.control, { command: "status" });
  const own = readMarks(marks, since).filter((mark) => mark.pid === pid);
  const askedAt = own.findLast(({ place }) => place === "asking")?.at ?? Number.NaN;
  return { stallMs, stagesMs: stagesOf(STAGES, own, askedAt, stallMs) };
}
