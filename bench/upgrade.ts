import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../src/block/errors.ts";
import { askFront } from "../src/front/control-client.ts";
import { DEPTH, LoadedDisk } from "./loaded-disk.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { percentile } from "./statistics.ts";
import { figure, table } from "./table.ts";
import { VOLATILE_DRIVER } from "./volatile.ts";
import type { Workbench } from "./workbench.ts";

const UPGRADES = 50;
const QUICK_UPGRADES = 5;
const DEVICE = "disk";
/** From the end of one probation until the next upgrade, at most: any time in it. */
const MAX_LIFE_MS = 100;
/** Short: what an upgrade costs is over when the newcomer serves. */
const PROBATION_MS = 50;
const GOAL_MS = 20;

/** One upgrade, in milliseconds. */
interface Stall {
  /** The longest time between two completions, as the client sees it, with the preparation of the newcomer in it. */
  readonly client: number;
  /** From the word to drain until the newcomer serves, as the front times it. */
  readonly front: number;
}

export const upgrade: Part = {
  name: "upgrade",
  summary: `${UPGRADES} upgrades of a driver under load: how long the client waits`,
  needs: [],

  async run(bench, settings, progress) {
    const wanted = settings.quick ? QUICK_UPGRADES : UPGRADES;
    const cases = [
      { title: "volatile to volatile", spec: `${VOLATILE_DRIVER}?size=256M` },
      { title: "file to file", spec: `file:${bench.path("disk.img")}?size=256M` },
    ];
    const results: { readonly title: string; readonly stalls: readonly Stall[] }[] = [];
    const failures: string[] = [];
    let completed = 0;
    for (const [index, { title, spec }] of cases.entries()) {
      const disk = await LoadedDisk.start(bench, { name: `${index}`, spec: configFile(bench, `${index}.yaml`, spec) });
      const stalls: Stall[] = [];
      disk.load.start();
      while (stalls.length < wanted && !disk.hasFailed) {
        progress.say(`${title}, upgrade ${stalls.length + 1} of ${wanted}, ${disk.load.tally.requests} requests`);
        await delay(Math.random() * MAX_LIFE_MS, undefined, { signal: bench.signal });
        const stall = await upgradeOnce(disk, spec);
        if (typeof stall === "string") disk.failures.push(stall);
        else stalls.push(stall);
      }
      progress.say("reading everything back");
      failures.push(...(await disk.end()));
      completed += disk.load.tally.requests;
      results.push({ title, stalls });
    }

    const sides = ["client", "front"] as const;
    const rows = results.flatMap(({ title, stalls }) =>
      sides.map((side) => [
        `${title}, the ${side}'s view`,
        ...[50, 99, 100].map((percent) => figure(percentile(of(stalls, side), percent))),
      ]),
    );
    return {
      report: {
        part: "upgrade",
        machine: thisMachine(),
        method:
          `A driver under a verifying load of ${DEPTH} requests in flight (4 KiB writes, a quarter reads, a flush in ` +
          `32) is handed over to another incarnation of itself, ${wanted} times each, with a probation of ` +
          `${PROBATION_MS} ms: ${completed} requests, ${failures.length} errors or lost writes. The stall is the ` +
          "longest time between two completions from the wish for the upgrade until the end of probation, as the client " +
          "sees it; for the front it lasts from the word to drain until the newcomer serves.",
        data: results,
        tables: [table(["stall in milliseconds", "p50", "p99", "max"], rows)],
        verdicts: [
          ...results.map(({ title, stalls }) => {
            const [p50, p99] = [50, 99].map((percent) => percentile(of(stalls, "client"), percent)) as [number, number];
            return {
              goal: `upgrade, ${title}: p99 of the stall at most ${GOAL_MS} ms`,
              measured: `${figure(p99)} ms in ${stalls.length} upgrades, p50 ${figure(p50)} ms`,
              met: p99 <= GOAL_MS,
            };
          }),
          {
            goal: "upgrade: no error, no lost write",
            measured: `${failures.length} in ${completed} requests`,
            met: failures.length === 0,
          },
        ],
      },
      failures,
    };
  },
};

function of(stalls: readonly Stall[], side: keyof Stall): number[] {
  return stalls.map((stall) => stall[side]);
}

/** The path of a configuration file with that device, whose probation is short. */
function configFile(bench: Workbench, name: string, spec: string): string {
  const path = bench.path(name);
  // JSON is YAML, too.
  writeFileSync(path, JSON.stringify({ devices: [{ name: DEVICE, spec, policy: { probationMs: PROBATION_MS } }] }));
  return path;
}

/** Why not, where the device was not upgraded. */
async function upgradeOnce({ server, load }: LoadedDisk, spec: string): Promise<Stall | string> {
  await load.nextCompletion();
  load.takeLongestGapMs();
  try {
    const { outcome, stallMs, reason } = await askFront(server.control, {
      command: "upgrade",
      name: DEVICE,
      spec,
      base: "/",
      wait: true,
    });
    if (outcome !== "upgraded") return `An upgrade was ${outcome}: ${reason}`;
    await load.nextCompletion();
    return { client: load.takeLongestGapMs(), front: stallMs };
  } catch (error) {
    if (error instanceof SkinkError) return error.message;
    throw error;
  }
}
