import { closeSync, fstatSync, openSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { SkinkError } from "../block/errors.ts";
import { parseSize } from "../block/size.ts";
import { RecordedDisk } from "../crashes/recorded-disk.ts";
import { blockDeviceSize } from "../os/block-device.ts";
import { LogWritesReader } from "../record/log-reader.ts";
import { isFailedMark } from "../record/own-marks.ts";
import { onInterruption } from "../terminal/interruption.ts";
import { badUsage, type CrashesOptions, CrashesSession, DEFAULT_TIMEOUT_SECONDS } from "./crashes-session.ts";
import { wholeNumber } from "./numbers.ts";

const DEFAULT_STATES = 1000;
const MAX_STATES = 1e9;
const MAX_JOBS = 256;
const MAX_TIMEOUT_SECONDS = 86_400;

export function addCrashes(program: Command): void {
  program
    .command("crashes")
    .summary("check what a power cut may leave of a recorded disk")
    .description(
      "Makes the states in which a power cut may leave a disk whose writes were recorded, and runs a check on each: on what file " +
        "system, database or program ever wrote them. Tells the smallest state that fails, and how to see it again.",
    )
    .argument("<log>", "what was written: of skink record, or of the kernel's dm-log-writes")
    .option("--check <command>", "for the shell; ends with 0 where a state is good")
    .option("--base <image>", "what the disk held before; zeroes if left out")
    .option("--size <size>", "of the disk, where the log doesn't tell", size)
    .option("--from <mark>", "cut the power after this mark only")
    .option("--to <mark>", "… before this mark only")
    .option("--states <number>", "how many states at most", wholeNumber(1, MAX_STATES), DEFAULT_STATES)
    .option("--seed <number>", "draws them where there are more", wholeNumber(0), 1)
    .option(
      "--atomic <size>",
      "what the disk writes whole, such as 4K, or all: no write is torn (default: a sector)",
      atomic,
    )
    .option(
      "--lying-flushes [number]",
      "the disk swallows flushes: all, or that many of the newest writes may be lost",
      wholeNumber(1),
    )
    .option("--mount-options <options>", "for {mount}, as mount -o takes them")
    .addOption(
      new Option("--jobs <number>", "checks at a time")
        .argParser(wholeNumber(1, MAX_JOBS))
        .default(availableParallelism(), "one for each core"),
    )
    .option("--timeout <seconds>", "for one check", wholeNumber(1, MAX_TIMEOUT_SECONDS), DEFAULT_TIMEOUT_SECONDS)
    .option("--all", "go on after a state has failed")
    .option("--state <name>", "this state alone, as a report names it")
    .addOption(new Option("--serve [socket]", "with --state: serve it as an NBD disk until ^C").conflicts("check"))
    .addOption(
      new Option("--write <file>", "with --state: write it into a new image file").conflicts(["check", "serve"]),
    )
    .option("--json", "the report as an object, for machines: docs/crashes.md")
    .addHelpText("after", HELP)
    .action(crashes);
}

const HELP = `
In the command, and in its environment under the name on the right, stand for the state that it is to check:
  {uri}      an NBD export                                  SKINK_URI
  {device}   a file, by nbdfuse                             SKINK_DEVICE
  {loop}     a loop device over it, as root                 SKINK_LOOP
  {mount}    a folder where that is mounted, as root        SKINK_MOUNT
SKINK_STATE is its name, SKINK_MARK the last mark that was set before the power cut. The check may write: each state is a copy of its own.

Examples:
  skink crashes disk.log --check 'e2fsck -y -E journal_only {device} >/dev/null; e2fsck -fn {device}'
  skink crashes disk.log --from 'ready' --check 'sqlite3 {mount}/my.db "pragma integrity_check" | grep -qx ok'
  skink crashes disk.log --base before.img --check './compare.sh {mount} "$SKINK_MARK"' --states 10000 --all
  skink crashes disk.log --state 107-98 --serve

Exit codes: 0 all states pass, 1 a state fails, or something else does, 2 bad usage, also a check that can't be run.`;

async function crashes(path: string, options: CrashesOptions): Promise<void> {
  needSense(path, options);
  const log = LogWritesReader.open(path);
  if (log.cutOff !== undefined) process.stderr.write(`${path}: ${log.cutOff}\n`);
  // Nobody knows whether clients went on.
  if (log.brokeOff) process.stderr.write(`${path}: the recording has no end: what came after it is in no state\n`);
  const failed = log.entries.filter(({ mark }) => mark !== undefined && isFailedMark(mark)).length;
  if (failed > 0) {
    const what = failed === 1 ? "1 write failed; what it" : `${failed} writes failed; what they`;
    process.stderr.write(`${path}: ${what} may have left is in no state\n`);
  }
  let base: number | undefined;
  try {
    base = options.base === undefined ? undefined : openBase(options.base);
    const disk = new RecordedDisk(log, sizeOf(path, log, base, options.size), base);
    await onInterruption((signal) => new CrashesSession(path, disk, options, signal).run());
  } finally {
    if (base !== undefined) closeSync(base);
    log.close();
  }
}

function needSense(path: string, { check, state, serve, write }: CrashesOptions): void {
  const others = serve !== undefined || write !== undefined;
  if (others && state === undefined) throw badUsage(path, "there is no --state beside --serve or --write", "one");
  if (!others && check === undefined) throw badUsage(path, "there is no --check", "a command");
}

function openBase(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new SkinkError(
      "bad-usage",
      `Cannot read the base ${path}: ${(error as Error).message}, an image was wanted`,
      { cause: error },
    );
  }
}

/** Bytes: what is asked for, what the log says, or what it takes at least. */
function sizeOf(path: string, log: LogWritesReader, base: number | undefined, wanted: number | undefined): number {
  const end = log.entries.reduce((most, { offset, length }) => Math.max(most, offset + length), 0);
  const stat = base === undefined ? undefined : fstatSync(base);
  const baseBytes = stat?.isBlockDevice() ? blockDeviceSize(base as number) : (stat?.size ?? 0);
  const bytes = wanted ?? log.deviceBytes ?? Math.max(end, baseBytes);
  if (bytes < end) throw badUsage(path, `it writes up to byte ${end} of a disk of ${bytes}`, "a size not below it");
  return Math.floor(bytes / log.sectorSize) * log.sectorSize;
}

function size(text: string): number {
  try {
    return parseSize(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function atomic(text: string): number {
  const bytes = text === "all" ? Number.POSITIVE_INFINITY : size(text);
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError("More than nothing was wanted.");
}
