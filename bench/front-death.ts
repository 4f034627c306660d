import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { askFront } from "../src/front/control-client.ts";
import { homeSpec } from "./homes.ts";
import { DEPTH, LoadedDisk, RECONNECT, sendKill } from "./loaded-disk.ts";
import { readMarks, timestampMs } from "./marks.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { SKINK } from "./servers.ts";
import { type Stages, type StagesMs, stageFigure, stageNames, stagesOf } from "./stages.ts";
import { percentile } from "./statistics.ts";
import { figure, table } from "./table.ts";
import { VOLATILE_DRIVER } from "./volatile.ts";
import type { Workbench } from "./workbench.ts";

const KILLS = 50;
const QUICK_KILLS = 4;
/** From one return to the load until the next kill, at most: any time in it. */
const MAX_LIFE_MS = 400;
const GUARD = fileURLToPath(new URL("guard.ts", import.meta.url));
const FRONT_MARKS = fileURLToPath(new URL("front-marks.ts", import.meta.url));

const VICTIMS = ["front", "front and driver"] as const;
type Victim = (typeof VICTIMS)[number];

const STAGES: Stages = {
  until: {
    "the guard notices": "noticed",
    "its delay, and the next process": "started",
    "Node starts": "running",
    "modules, memory": "control",
    "lock, fence, home": "driver",
    "driver opened, replay": "clients",
  },
  rest: "clients come again",
};

interface Death {
  /** The client's view: the longest time between two completions around the kill. */
  readonly stallMs: number;
  readonly stagesMs: StagesMs;
}

export const frontDeath: Part = {
  name: "front-death",
  summary: `${KILLS} SIGKILLs each of the front, and of front and driver, under load: how long the client waits`,
  needs: [],

  async run(bench, settings, progress) {
    const wanted = settings.quick ? QUICK_KILLS : KILLS;
    const results: { readonly home: string; readonly victim: Victim; readonly deaths: readonly Death[] }[] = [];
    const failures: string[] = [];
    let completed = 0;
    for (const home of ["shm", "disk"] as const) {
      const marks = bench.path(`${home}.marks`);
      const disk = await LoadedDisk.start(
        bench,
        {
          name: home,
          spec: `${VOLATILE_DRIVER}?size=256M&path=${bench.path(`${home}.img`)}`,
          flags: ["--home", homeSpec(home, bench.path(`${home}.log`))],
          command: [process.execPath, GUARD, marks, ...markedSkink(marks)],
        },
        RECONNECT,
      );
      disk.load.start();
      for (const victim of VICTIMS) {
        const deaths: Death[] = [];
        while (deaths.length < wanted && !disk.hasFailed) {
          progress.say(
            `home ${home}, ${victim}: kill ${deaths.length + 1} of ${wanted}, ${disk.load.tally.requests} requests`,
          );
          await delay(Math.random() * MAX_LIFE_MS, undefined, { signal: bench.signal });
          const death = await killOnce(bench, disk, victim, marks);
          if (death !== undefined) deaths.push(death);
        }
        results.push({ home, victim, deaths });
      }
      progress.say("reading everything back");
      failures.push(...(await disk.end()));
      completed += disk.load.tally.requests;
    }
    const kills = results.reduce((sum, { deaths }) => sum + deaths.length, 0);
    return {
      report: {
        part: "front-death",
        machine: thisMachine(),
        method:
          `The volatile example driver, a file as its medium, under a verifying load of ${DEPTH} requests in flight (4 KiB ` +
          "writes, a quarter reads, a flush in 32) by a client that reconnects at once. The front's process is killed with " +
          `SIGKILL, alone or together with its driver's, at any time within ${MAX_LIFE_MS} ms of the return to the load; a ` +
          `guard starts the next one, always after the same delay of 10 ms. ${kills} kills, ${completed} requests, ` +
          `${failures.length} errors or lost writes. The stall is the longest time between two completions around a kill, ` +
          "as the client sees it; its stages are told by the processes themselves.",
        data: results,
        tables: [
          table(
            ["stall in milliseconds", "p50", "p99", "max"],
            results.map(({ home, victim, deaths }) => [
              `home ${home}, ${victim}`,
              ...[50, 99, 100].map((percent) =>
                figure(
                  percentile(
                    deaths.map(({ stallMs }) => stallMs),
                    percent,
                  ),
                ),
              ),
            ]),
          ),
          table(
            ["median of the stage, ms", ...results.map(({ home, victim }) => `${home}, ${victim}`)],
            stageNames(STAGES).map((stage) => [stage, ...results.map(({ deaths }) => stageFigure(deaths, stage))]),
          ),
        ],
        verdicts: [
          {
            goal: "front-death: no error, no lost write",
            measured: `${failures.length} in ${completed} requests and ${kills} kills`,
            met: failures.length === 0,
          },
        ],
      },
      failures,
    };
  },
};

/** A command that runs fronts that write marks. */
export function markedSkink(marks: string): string[] {
  const module = pathToFileURL(FRONT_MARKS);
  module.searchParams.set("to", marks);
  return [process.execPath, "--import", module.href, SKINK];
}

/** `undefined` where the load has failed meanwhile: it knows why. */
async function killOnce(bench: Workbench, disk: LoadedDisk, victim: Victim, marks: string): Promise<Death | undefined> {
  const { load, server } = disk;
  const before = await askFront(server.control, { command: "status" });
  const driver = before.devices[0]?.driver.pid ?? undefined;
  await load.nextCompletion();
  load.takeLongestGapMs();
  const killedAt = timestampMs();
  sendKill(before.pid);
  if (victim === "front and driver" && driver !== undefined) sendKill(driver);
  const after = await disk.nextFront(before.pid);
  if (after === undefined) return undefined;
  await load.nextCompletion();
  bench.signal.throwIfAborted();
  const stallMs = load.takeLongestGapMs();
  return { stallMs, stagesMs: stagesOf(STAGES, readMarks(marks, killedAt), killedAt, stallMs) };
}
