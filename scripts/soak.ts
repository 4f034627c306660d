/** npm run soak: SIGKILL on drivers with a volatile cache, thousands of times, under a load that knows what it was promised. */
import { randomInt } from "node:crypto";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SkinkError } from "../src/block/errors.ts";
import { parseSpec } from "../src/front/spec.ts";
import { readCommandLine, wholeNumber } from "../src/terminal/command-line.ts";
import { onInterruption } from "../src/terminal/interruption.ts";
import { Progress } from "../src/terminal/progress.ts";
import { DISK_MIB, hasPlace } from "./soak-place.ts";
import { isWell, runSoak, type SoakOptions, type SoakReport } from "./soak-run.ts";

const EXIT_FAILED = 1;
/** As shells have it: 128, and the signal's number. */
const EXIT_INTERRUPTED = 130;

const VOLATILE = fileURLToPath(new URL("../examples/volatile.ts", import.meta.url));
const HELP = `usage: npm run soak -- [--kills N] [--devices N] [--seed S] [--spec SPEC] [--json]

Serves several devices (skink serve), puts a verifying load on each, and kills their drivers by SIGKILL at random times: while
they are live, while they open, while the shadow is replayed. Every 100 kills of a device, and in the end, the load rests right
after a kill, and every sector is read back without a flush: what was acknowledged has to be there.

  --kills N      how many, over all devices (20000)
  --devices N    side by side, every second one with a spare driver ready (4)
  --seed S       of the loads' and the kills' choices; another one each time if left out
  --spec SPEC    the devices' driver (examples/volatile.ts?size=8M). Its store holds zeroes, and is written over: {disk} is a file
                 of ${DISK_MIB} MiB of zeroes that is made for each device, {dir} the folder that it is in; as in file:{disk}
  --json         the report as one JSON object

SIGINT ends it with the report. Exit code: 0 where nothing was lost and no request failed, 1 where that is not so, 2 for bad
usage, ${EXIT_INTERRUPTED} where it was interrupted, and well until then.`;

process.exitCode = await onInterruption(main);

async function main(signal: AbortSignal): Promise<number> {
  const { json, ...soak } = readArguments();
  const progress = new Progress();
  const report = await runSoak(soak, signal, (now) => progress.say(lineOf(now))).catch((error: unknown) => {
    if (error instanceof SkinkError) return error;
    throw error;
  });
  progress.clear();
  if (report instanceof SkinkError) {
    console.error(report.message);
    return EXIT_FAILED;
  }
  console.log(json ? JSON.stringify(report, undefined, 2) : textOf(report));
  if (!isWell(report)) return EXIT_FAILED;
  return report.kills < soak.kills ? EXIT_INTERRUPTED : 0;
}

function lineOf({ kills, wanted, killsPerSecond, requests, errors, lost, stallMs }: SoakReport): string {
  const left = kills === 0 ? "" : `  ${minutes((wanted - kills) / killsPerSecond)} left`;
  return (
    `${kills} of ${wanted} kills  ${killsPerSecond.toFixed(1)}/s  ${requests} requests  ${errors} errors  ${lost} lost  ` +
    `stall p50 ${ms(stallMs.p50)} p99 ${ms(stallMs.p99)} ms${left}`
  );
}

function textOf(report: SoakReport): string {
  const { spec, seed, devices, kills, killsPerSecond, killsByState, seconds, readBacks, requests, stallMs } = report;
  const states = Object.entries(killsByState).map(([state, count]) => `${count} ${state}`);
  const { errors, firstError, lost, flushLies, wrongs, failures } = report;
  return [
    `${kills} kills in ${minutes(seconds)} (${killsPerSecond.toFixed(1)}/s), ${devices} devices, ${spec}, seed ${seed}`,
    `the device was: ${states.join(", ")}`,
    `${requests} requests, ${readBacks} read-backs of a whole device`,
    `stall after a kill: p50 ${ms(stallMs.p50)} ms, p99 ${ms(stallMs.p99)} ms, max ${ms(stallMs.max)} ms`,
    `${errors} errors${firstError === undefined ? "" : `, the first one: ${firstError}`}`,
    `${lost} sectors lost or wrong, ${flushLies} of them though flushed`,
    ...wrongs.map((line) => `  ${line}`),
    ...failures.map((line) => `failure: ${line}`),
  ].join("\n");
}

function readArguments(): SoakOptions & { readonly json: boolean } {
  const options = {
    kills: { type: "string", default: "20000" },
    devices: { type: "string", default: "4" },
    seed: { type: "string", default: `${randomInt(2 ** 31)}` },
    spec: { type: "string", default: `${VOLATILE}?size=8M` },
    json: { type: "boolean", default: false },
  } as const;
  return readCommandLine(HELP, { options }, ({ values }) => ({
    ...values,
    spec: specOf(values.spec),
    kills: wholeNumber("kills", values.kills, 1),
    devices: wholeNumber("devices", values.devices, 1),
    seed: wholeNumber("seed", values.seed),
  }));
}

/** It gets into a file elsewhere, which its paths must not be relative to. */
function specOf(text: string): string {
  const spec = text.replace(/^\.{1,2}\/[^?]*/, (path) => resolve(path));
  const { kind, source } = parseSpec(spec);
  const isBuiltIn = source.type === "module" && ["file", "null"].includes(kind);
  if (isBuiltIn && kind === "null") {
    throw new SkinkError("bad-spec", `Cannot soak ${text}: it keeps nothing, a driver that does was wanted`);
  }
  if (isBuiltIn && !hasPlace(spec)) {
    throw new SkinkError("bad-spec", `Cannot soak ${text}: its store would be written over, file:{disk} was wanted`);
  }
  return spec;
}

function minutes(seconds: number): string {
  return seconds < 120 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(0)} min`;
}

function ms(value: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(0);
}
