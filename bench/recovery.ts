import { setTimeout as delay } from "node:timers/promises";
import { DEPTH, LoadedDisk } from "./loaded-disk.ts";
import type { Part } from "./part.ts";
import { thisMachine, type Verdict } from "./results.ts";
import { hasReadySpare } from "./spare.ts";
import { percentile } from "./statistics.ts";
import { figure, table } from "./table.ts";
import { VOLATILE_DRIVER } from "./volatile.ts";
import type { Workbench } from "./workbench.ts";

/** Kills with a spare that was ready, and kills without a standby. */
const KILLS = { standby: 1000, off: 500 };
const QUICK_KILLS = { standby: 30, off: 15 };
/** Of so many times the kills that are wanted, enough find the spare ready, or something is wrong with it. */
const MAX_ATTEMPTS = 10;
/** The two servers take turns so often. */
const ROUNDS = 10;
const QUICK_ROUNDS = 2;
/** From the return to live until the next kill, at most: any time in it. A spare takes 100 ms of it to be ready. */
const MAX_LIFE_MS = { standby: 400, off: 120 };
/** So long nobody asks the front how it is: that would only disturb it. */
const UNDISTURBED_MS = 20;
const GOALS_MS = { p50: 5, p99: 20 };

/** What there was beside the driver when it was killed. */
type Standby = "ready" | "not ready" | "off";

/** One kill, in milliseconds. The stall is the client's view, the rest the front's. */
interface Kill {
  readonly standby: Standby;
  readonly stall: number;
  /** From the kill until the front had noticed and reaped the process: what the front's own times leave of the stall. */
  readonly detect: number;
  /** Delays and failed attempts before the start that worked. */
  readonly wait: number;
  /** From the start of the new process, or the word to the spare, until its store is open. */
  readonly open: number;
  /** Until everything that was lost is executed again. */
  readonly replay: number;
}

/** How often a bare Node is started, to say how much of `open` that is. */
const BARE_STARTS = 9;

const COLUMNS = ["stall", "detect", "wait", "open", "replay"] as const;
const GROUPS: readonly { readonly standby: Standby; readonly title: string }[] = [
  { standby: "ready", title: "with a spare that is ready" },
  { standby: "not ready", title: "with a spare that is not ready yet" },
  { standby: "off", title: "without standby" },
];

export const recovery: Part = {
  name: "recovery",
  summary: `${KILLS.standby} SIGKILLs of the driver under load with standby, ${KILLS.off} without: how long the client waits`,
  needs: [],

  async run(bench, settings, progress) {
    const wanted = settings.quick ? QUICK_KILLS : KILLS;
    const rounds = settings.quick ? QUICK_ROUNDS : ROUNDS;
    const spec = `${VOLATILE_DRIVER}?size=256M`;
    const standby = await LoadedDisk.start(bench, { name: "standby", spec, flags: ["--standby", "--shared"] });
    const off = await LoadedDisk.start(bench, { name: "off", spec, flags: ["--shared"] });
    const sides = [
      { disk: standby, wanted: wanted.standby, maxLifeMs: MAX_LIFE_MS.standby, counted: "ready", kills: [] as Kill[] },
      { disk: off, wanted: wanted.off, maxLifeMs: MAX_LIFE_MS.off, counted: "off", kills: [] as Kill[] },
    ] as const;

    for (let round = 1; round <= rounds; round++) {
      for (const { disk, wanted, maxLifeMs, counted, kills } of sides) {
        const count = (): number => kills.filter((kill) => kill.standby === counted).length;
        const until = Math.ceil((wanted * round) / rounds);
        disk.load.start();
        while (count() < until && !disk.hasFailed) {
          if (kills.length === MAX_ATTEMPTS * wanted) {
            disk.failures.push(`Only ${count()} of ${kills.length} kills found the spare ready`);
            break;
          }
          progress.say(`kill ${count() + 1} of ${wanted}, standby ${counted}, ${disk.load.tally.requests} requests`);
          const kill = await killOnce(bench, disk, Math.random() * maxLifeMs, counted === "ready");
          if (kill !== undefined) kills.push(kill);
        }
        await disk.load.stop();
      }
    }
    progress.say("reading everything back");
    const failures = [...(await standby.end()), ...(await off.end())];
    const bareStarts = await timeBareStarts(bench);

    const kills = sides.flatMap((side) => side.kills);
    const completed = standby.load.tally.requests + off.load.tally.requests;
    const of = (group: Standby): Kill[] => kills.filter((kill) => kill.standby === group);
    const counts = `${of("ready").length} with a spare that was ready, ${of("not ready").length} before it was, ${of("off").length} without standby`;
    return {
      report: {
        part: "recovery",
        machine: thisMachine(),
        method:
          `The volatile example driver under a verifying load of ${DEPTH} requests in flight (4 KiB writes, a quarter ` +
          "reads, a flush in 32), its process killed with SIGKILL. Two fronts take turns, with and without standby; a " +
          `kill comes at any time within ${MAX_LIFE_MS.standby} ms (${MAX_LIFE_MS.off} ms without standby) of the ` +
          `return to live. ${kills.length} kills: ${counts}; ${completed} requests, ${failures.length} errors or lost ` +
          "writes. The stall is the longest time between two completions around a kill, as the client sees it. The " +
          "front itself times wait (delays before the start that worked), open (from the start of the process, or the " +
          "word to the spare, until its store is open) and replay; detect is the rest of the stall, mostly the " +
          "kernel's dismantling of the process.",
        data: { ...Object.fromEntries(GROUPS.map(({ standby }) => [standby, byColumn(of(standby))])), bareStarts },
        tables: [
          ...GROUPS.filter(({ standby }) => of(standby).length > 0).map(({ standby, title }) =>
            tableOf(title, of(standby)),
          ),
          table(["milliseconds", ...HEADS], [["for comparison: bare Node, start to end", ...cells(bareStarts)]]),
        ],
        verdicts: [
          ...goalVerdicts(of("ready").map((kill) => kill.stall)),
          {
            goal: "recovery: no error, no lost write",
            measured: `${failures.length} in ${completed} requests and ${kills.length} kills`,
            met: failures.length === 0,
          },
        ],
      },
      failures,
    };
  },
};

const HEADS = ["p50", "p99", "max"];

/** To keep: in hundredths of a millisecond, one kill after the other. */
function byColumn(kills: readonly Kill[]): Record<(typeof COLUMNS)[number], number[]> {
  const values = COLUMNS.map((column) => [column, kills.map((kill) => Math.round(kill[column] * 100) / 100)]);
  return Object.fromEntries(values);
}

function cells(values: readonly number[]): string[] {
  return [50, 99, 100].map((percent) => figure(percentile(values, percent)));
}

function tableOf(title: string, kills: readonly Kill[]): string {
  const rows = COLUMNS.map((column) => [column, ...cells(kills.map((kill) => kill[column]))]);
  return table([`${title}, ms`, ...HEADS], rows);
}

function goalVerdicts(stalls: readonly number[]): Verdict[] {
  return Object.entries(GOALS_MS).map(([name, goal]) => {
    const measured = percentile(stalls, Number(name.slice(1)));
    return {
      goal: `recovery with a spare that is ready: ${name} of the stall at most ${goal} ms`,
      measured: `${figure(measured)} ms in ${stalls.length} kills`,
      met: measured <= goal,
    };
  });
}

async function timeBareStarts(bench: Workbench): Promise<number[]> {
  const times: number[] = [];
  while (times.length < BARE_STARTS) {
    const startedAt = performance.now();
    await bench.run(process.execPath, ["--eval", "0"]);
    times.push(performance.now() - startedAt);
  }
  return times;
}

/** Kills the driver after so much of its life. `undefined` where the load has failed meanwhile: it knows why. */
async function killOnce(
  bench: Workbench,
  disk: LoadedDisk,
  lifeMs: number,
  standby: boolean,
): Promise<Kill | undefined> {
  const { server, load } = disk;
  const before = await disk.live(0);
  if (before === undefined || before.driver.pid === null) return undefined;
  await delay(lifeMs, undefined, { signal: bench.signal });
  const isReady = standby && (await hasReadySpare(server.tool.pid, before.driver.pid));
  await load.nextCompletion();
  load.takeLongestGapMs();
  process.kill(before.driver.pid, "SIGKILL");
  await delay(UNDISTURBED_MS);
  const after = await disk.live(before.epoch);
  const recovered = after?.recoveries.at(-1);
  if (recovered === undefined) return undefined;
  await load.nextCompletion();
  const { openMs: open, replayMs: replay } = recovered;
  const wait = Math.max(0, recovered.totalMs - recovered.detectMs - open - replay);
  const stall = load.takeLongestGapMs();
  return {
    standby: standby ? (isReady ? "ready" : "not ready") : "off",
    stall,
    detect: Math.max(0, stall - wait - open - replay),
    wait,
    open,
    replay,
  };
}
