import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { SkinkError } from "../block/errors.ts";
import { Front, type FrontConfig } from "../front/front.ts";
import { exitNow } from "../os/exit.ts";
import { LogWritesReader } from "../record/log-reader.ts";
import { entryLine, heading } from "../record/show.ts";
import { RecordingTap } from "../record/tap.ts";
import { configOf, exit, type FrontOptions, logOf, runFront, withFrontOptions } from "./serve.ts";

/** So many lines of a listing are written at once. */
const LINES_AT_ONCE = 1000;

interface RecordOptions extends FrontOptions {
  readonly log?: string;
  readonly driverLog?: string;
  readonly force?: true;
  readonly show?: string;
  readonly json?: true;
}

export function addRecord(program: Command): void {
  const command = program
    .command("record")
    .summary("serve a device, and log every write and flush of it")
    .description(
      "Serves a device like skink serve, and logs what its clients write, zero, trim and flush, in the format of the kernel's " +
        "dm-log-writes. Or shows such a log.",
    )
    .argument("[spec]", "a device spec, or a configuration file (.yaml) with one device")
    .option("--log <file>", "where to log what clients were answered; a new file")
    .option("--driver-log <file>", "where to log what the drivers answered, replays too; a new file")
    .option("--force", "replace logs that are there")
    .option("--show <log>", "serve nothing, list what stands in this log")
    .option("--json", "with --show: a JSON object a line");
  withFrontOptions(command).addHelpText("after", HELP).action(record);
}

const HELP = `
A writer stands in the log where it was answered, a flush where it arrived: what is before it is what it made durable. A flush,
and a write with FUA, is answered when it is in the log. A log that can't be written any more ends; the device goes on, and the
exit code is 1.

Examples:
  skink record file:disk.img --log disk.log --name disk
  skink mark disk 'the file is saved'
  skink record --show disk.log
  skink crashes disk.log --check 'e2fsck -y -E journal_only {device} >/dev/null; e2fsck -fn {device}'
  replay-log --log disk.log --replay disk2.img --end-mark 'the file is saved'    of xfstests; docs/record.md`;

async function record(text: string | undefined, options: RecordOptions): Promise<void> {
  const { log: path, driverLog, force = false, show, json = false } = options;
  if (show !== undefined) {
    if (text !== undefined) throw badUsage(`show ${show}`, `${text} is there beside it`, "a log alone");
    return await list(show, json);
  }
  if (json) throw badUsage("record", "there is --json without --show", "both or neither");
  if (text === undefined) throw badUsage("record", "no device is given", "a device spec");
  if (path === undefined) throw badUsage(`record ${text}`, "there is no --log", "a file for the log");
  if (driverLog !== undefined && resolve(driverLog) === resolve(path)) {
    throw badUsage(`record ${text}`, `--log and --driver-log are both ${path}`, "two files");
  }
  const config = await configOf(text, options);
  checkSingle(text, config);
  const log = logOf(options);
  const files = { log: resolve(path), driverLog: driverLog === undefined ? undefined : resolve(driverLog), force };
  const tap = await RecordingTap.create(files, log.error);
  let outcome: Awaited<ReturnType<typeof runFront>>;
  try {
    outcome = await runFront(new Front(withTap(config, tap), log));
  } finally {
    await tap.close();
  }
  log.flush();
  if (tap.failure !== undefined) {
    process.stderr.write(`${tap.failure}\n`);
    if (outcome.clean) exitNow(1);
  }
  exit(outcome);
}

function checkSingle(text: string, { devices }: FrontConfig): void {
  if (devices.length !== 1) throw badUsage(`record ${text}`, `it has ${devices.length} devices`, "one");
}

function withTap(config: FrontConfig, tap: RecordingTap): FrontConfig {
  return { ...config, devices: config.devices.map((device) => ({ ...device, tap })) };
}

async function list(path: string, json: boolean): Promise<void> {
  const log = LogWritesReader.open(path);
  try {
    await pipeline(linesOf(log, json), process.stdout, { end: false });
  } catch (error) {
    // Whoever read it has seen enough.
    if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
  } finally {
    log.close();
  }
  if (log.cutOff === undefined) return;
  throw new SkinkError("cut-off-log", `Cannot show all of ${path}: ${log.cutOff}, a whole log was wanted`);
}

function* linesOf(log: LogWritesReader, json: boolean): Generator<string> {
  if (!json) yield `${heading(log)}\n`;
  for (let from = 0; from < log.entries.length; from += LINES_AT_ONCE) {
    const entries = log.entries.slice(from, from + LINES_AT_ONCE);
    yield entries.map((entry) => `${json ? JSON.stringify(entry) : entryLine(entry)}\n`).join("");
  }
}

function badUsage(act: string, is: string, wanted: string): SkinkError {
  return new SkinkError("bad-usage", `Cannot ${act}: ${is}, ${wanted} was wanted`);
}
