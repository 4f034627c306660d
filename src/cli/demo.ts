import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Command } from "commander";
import { SkinkError } from "../block/errors.ts";
import { Front } from "../front/front.ts";
import { parseSpec } from "../front/spec.ts";
import { onInterruption } from "../terminal/interruption.ts";
import { Progress } from "../terminal/progress.ts";
import type { DemoLoad, FromLoad, LoadReport, ToLoad } from "./load-worker.ts";
import { positiveNumber } from "./numbers.ts";

const EXTENSION = extname(import.meta.url);
const LOAD_WORKER = new URL(`./load-worker${EXTENSION}`, import.meta.url);
const DRIVER = fileURLToPath(new URL(`../../examples/volatile${EXTENSION}`, import.meta.url));

const SHADOW_ON_SECONDS = 15;
const SHADOW_OFF_SECONDS = 5;
const KILL_INTERVAL_MS = 500;
const DEVICE = "demo";
const DEVICE_SIZE = "256M";
const LOAD: Omit<DemoLoad, "uri"> = { seed: 1, bytes: 64 << 20, queueDepth: 16, writesPerFlush: 256 };

interface Outcome {
  readonly kills: number;
  readonly seconds: number;
  readonly report: LoadReport;
}

export function addDemo(program: Command): void {
  program
    .command("demo")
    .summary("see a driver killed twice a second under a load that checks every block")
    .description(
      "Serves a disk with a volatile write cache, puts a verifying load on it, and kills its driver with SIGKILL twice a " +
        "second. Then the same without the shadow, to show what it is for. Fails if the first part lost anything.",
    )
    .option("--seconds <number>", "how long the first part takes", positiveNumber, SHADOW_ON_SECONDS)
    .action(demo);
}

async function demo({ seconds }: { seconds: number }): Promise<void> {
  console.log(
    `A disk whose driver holds writes in its own memory until a flush, ${LOAD.queueDepth} requests of 4 KiB at a time, ` +
      `a flush every ${LOAD.writesPerFlush} writes.\nIts driver is killed with SIGKILL every ${KILL_INTERVAL_MS} ms.\n`,
  );
  const on = await part("shadow on ", true, seconds);
  const off = await part("shadow off", false, SHADOW_OFF_SECONDS);
  console.log(
    "\nWith the shadow off, what has no reply is issued again, and nothing else: the acknowledged writes that a dead\n" +
      "driver had not flushed are gone, and no client was told. With it on they are replayed.",
  );
  const { errors, wrong, requests } = on.report;
  if (errors > 0 || wrong > 0 || requests === 0 || on.kills === 0) {
    const what = on.kills === 0 ? "no driver was killed" : `${wrong} writes were lost and ${errors} requests failed`;
    throw new SkinkError("demo-failed", `Cannot call this a success: with the shadow on, ${what}, none was wanted`);
  }
  if (off.report.errors > 0) console.log(`(shadow off, first error: ${off.report.firstError})`);
}

function part(title: string, retains: boolean, seconds: number): Promise<Outcome> {
  const spec = parseSpec(`${encodeURIComponent(DRIVER).replaceAll("%2F", "/")}?size=${DEVICE_SIZE}`);
  const front = new Front({ devices: [{ name: DEVICE, spec, retains }] });
  return onInterruption(async (signal) => {
    // Whoever doesn't want to see it to its end has nothing left behind.
    signal.addEventListener("abort", () => {
      front.abandon();
      process.exit(1);
    });
    await front.start();
    try {
      return await kills(title, front, seconds);
    } finally {
      await front.stop();
      await front.ended;
    }
  });
}

/** Runs the load and kills the driver whenever it is live again and it is time. */
async function kills(title: string, front: Front, seconds: number): Promise<Outcome> {
  const worker = new Worker(LOAD_WORKER, { workerData: { ...LOAD, uri: front.uri(DEVICE) } satisfies DemoLoad });
  const tell = (type: ToLoad["type"]): void => worker.postMessage({ type } satisfies ToLoad);
  const progress = new Progress({ out: process.stdout, isForTerminals: true });
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  let count = 0;
  const killer = setInterval(() => {
    if (!killDriver(front)) return;
    count++;
    tell("killed");
  }, KILL_INTERVAL_MS);
  const end = setTimeout(() => {
    clearInterval(killer);
    tell("finish");
  }, seconds * 1000);
  try {
    const report = await new Promise<LoadReport>((resolve, reject) => {
      worker.on("error", reject);
      worker.on("message", ({ type, report }: FromLoad) => {
        const outcome = { kills: count, seconds: elapsed(), report };
        if (type === "progress") return progress.say(`${title}  ${line(outcome)}`);
        resolve(report);
      });
    });
    const outcome = { kills: count, seconds: elapsed(), report };
    progress.clear();
    console.log(inColour(`${title}  ${line(outcome)}`, report.wrong > 0 || report.errors > 0));
    return outcome;
  } finally {
    clearInterval(killer);
    clearTimeout(end);
    await worker.terminate();
  }
}

/** Kills the process itself, as a crash would: nobody tells the front. */
function killDriver(front: Front): boolean {
  const device = front.status().devices[0];
  if (device === undefined || device.state !== "live" || device.driver.pid === null) return false;
  return process.kill(device.driver.pid, "SIGKILL");
}

function line({ kills, seconds, report }: Outcome): string {
  const { requests, errors, wrong, stallsMs } = report;
  const sorted = stallsMs.toSorted((a, b) => a - b);
  const stall = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(0);
  return (
    `${seconds.toFixed(1).padStart(4)} s  ${kills} kills  ${requests} I/Os  ${errors} errors  ${wrong} lost writes  ` +
    `stall p50 ${stall(0.5)} p99 ${stall(0.99)} max ${stall(1)} ms`
  );
}

function inColour(text: string, bad: boolean): string {
  return process.stdout.isTTY ? `\x1b[${bad ? 31 : 32}m${text}\x1b[0m` : text;
}
