import { setTimeout as delay } from "node:timers/promises";
import type { DeviceStatus } from "../src/front/status.ts";
import { NbdClient } from "../src/nbd/index.ts";
import type { Part } from "./part.ts";
import { thisMachine } from "./results.ts";
import { deviceStatus, type SkinkServer, startSkink } from "./servers.ts";
import { percentile } from "./statistics.ts";
import { figure, table } from "./table.ts";
import { VerifyingLoad } from "./verifying-load.ts";
import { VOLATILE_DRIVER } from "./volatile.ts";
import type { Workbench } from "./workbench.ts";

const KILLS = 500;
const QUICK_KILLS = 50;
const DEPTH = 16;
/** From the return to live until the next kill: the least, and how much more at random, so that kills hit all phases. */
const LIVE_MS = 40;
const LIVE_JITTER_MS = 40;
const POLL_MS = 2;
const RECOVERY_TIMEOUT_MS = 30_000;

/** One kill, in milliseconds. The stall is the client's view, the rest the front's. */
interface Kill {
  readonly stall: number;
  /** From the kill until the front had noticed and reaped the process: what the front's own times leave of the stall. */
  readonly detect: number;
  /** Delays and failed attempts before the start that worked. */
  readonly wait: number;
  /** From the start of the new process until its store is open. */
  readonly open: number;
  /** Until everything that was lost is executed again. */
  readonly replay: number;
}

/** How often a bare Node is started, to say how much of `open` that is. */
const BARE_STARTS = 9;

const COLUMNS = ["stall", "detect", "wait", "open", "replay"] as const;

export const recovery: Part = {
  name: "recovery",
  summary: `${KILLS} SIGKILLs of the driver under load: how long the client waits`,
  needs: [],

  async run(bench, settings, progress) {
    const wanted = settings.quick ? QUICK_KILLS : KILLS;
    const server = await startSkink(bench, { name: "recovery", spec: `${VOLATILE_DRIVER}?size=256M` });
    const client = await NbdClient.connect(server.uris[0] as string);
    const load = new VerifyingLoad(client, DEPTH);
    const kills: Kill[] = [];
    try {
      while (kills.length < wanted && load.failures.length === 0) {
        if (kills.length % 10 === 0) progress.say(`kill ${kills.length + 1} of ${wanted}, ${load.completed} requests`);
        await delay(LIVE_MS + Math.random() * LIVE_JITTER_MS, undefined, { signal: bench.signal });
        const kill = await killOnce(server, load);
        if (kill !== undefined) kills.push(kill);
      }
      progress.say("reading everything back");
      await load.finish();
    } finally {
      client.destroy();
    }
    const bareStarts = await timeBareStarts(bench);
    const failures = [...load.failures];
    const how = await bench.stop(server.tool);
    if (how !== "exit code 0") failures.push(`The front ended with ${how}`);

    const rows = COLUMNS.map((column) => {
      const values = kills.map((kill) => kill[column]);
      return [column, ...[50, 99, 100].map((percent) => figure(percentile(values, percent)))];
    });
    rows.push([
      "for comparison: bare Node, start to end",
      ...[50, 99, 100].map((percent) => figure(percentile(bareStarts, percent))),
    ]);
    return {
      report: {
        part: "recovery",
        machine: thisMachine(),
        method:
          `The volatile example driver under a verifying load of ${DEPTH} requests in flight (4 KiB writes, a quarter ` +
          `reads, a flush in 32), its process killed ${LIVE_MS} to ${LIVE_MS + LIVE_JITTER_MS} ms after each return to ` +
          `live: ${kills.length} kills, ${load.completed} requests, ${failures.length} errors or lost writes. The ` +
          "stall is the longest time between two completions around a kill, as the client sees it. The front itself " +
          "times wait (delays before the start that worked), open (from the start of the process until its store is " +
          "open) and replay; detect is the rest of the stall, mostly the kernel's dismantling of the process.",
        data: { kills, bareStarts },
        tables: [table(["milliseconds", "p50", "p99", "max"], rows)],
        verdicts: [
          {
            goal: "recovery: no error, no lost write",
            measured: `${failures.length} in ${load.completed} requests and ${kills.length} kills`,
            met: failures.length === 0,
          },
        ],
      },
      failures,
    };
  },
};

async function timeBareStarts(bench: Workbench): Promise<number[]> {
  const times: number[] = [];
  while (times.length < BARE_STARTS) {
    const startedAt = performance.now();
    await bench.run(process.execPath, ["--eval", "0"]);
    times.push(performance.now() - startedAt);
  }
  return times;
}

/** `undefined` where the load has failed meanwhile: it knows why. */
async function killOnce(server: SkinkServer, load: VerifyingLoad): Promise<Kill | undefined> {
  const before = await liveStatus(server, load, 0);
  if (before === undefined || before.driver.pid === null) return undefined;
  load.watchGap();
  process.kill(before.driver.pid, "SIGKILL");
  // The client's own event loop does nothing else meanwhile: polls would only disturb the front.
  await load.nextCompletion();
  const after = await liveStatus(server, load, before.epoch);
  const recovered = after?.recoveries.at(-1);
  if (recovered === undefined) return undefined;
  await load.nextCompletion();
  const { openMs: open, replayMs: replay } = recovered;
  const wait = Math.max(0, recovered.totalMs - recovered.detectMs - open - replay);
  const stall = load.longestGapMs;
  return { stall, detect: Math.max(0, stall - wait - open - replay), wait, open, replay };
}

/** Waits for an incarnation after `epoch` to be live. */
async function liveStatus(server: SkinkServer, load: VerifyingLoad, epoch: number): Promise<DeviceStatus | undefined> {
  const deadline = performance.now() + RECOVERY_TIMEOUT_MS;
  while (load.failures.length === 0) {
    const device = await deviceStatus(server);
    if (device.state === "live" && device.epoch > epoch) return device;
    if (performance.now() > deadline) {
      load.failures.push(`No recovery within ${RECOVERY_TIMEOUT_MS} ms: the device is ${device.state}`);
      return undefined;
    }
    await delay(POLL_MS);
  }
  return undefined;
}
