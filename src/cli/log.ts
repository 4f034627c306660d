import { closeSync, fstatSync, openSync } from "node:fs";
import type { Command } from "commander";
import { SkinkError } from "../block/errors.ts";
import { formatSize } from "../block/size.ts";
import { type InspectedRecord, type Inspection, inspect } from "../home/log/inspection.ts";
import { OpenLogFile } from "../home/log-file.ts";
import { blockDeviceSize } from "../os/block-device.ts";
import { isLocked } from "../os/lock-holder.ts";

interface Report extends Inspection {
  readonly path: string;
  /** A front has it open: what is shown may be changing. */
  readonly held: boolean;
}

export function addLog(program: Command): void {
  const log = program.command("log").summary("look into a log that keeps acknowledged writes");
  log
    .command("inspect")
    .argument("<path>", "the log: a file or a block device")
    .summary("show what stands in a log, and whether it is good")
    .description(
      "Shows the headers of a log, its records, and what a front would make of it. Reads only, takes no lock, and works on " +
        "damaged logs too.",
    )
    .option("--json", "everything there is to know, for machines")
    .addHelpText("after", HELP)
    .action((path: string, options: { json?: true }) => {
      const report = inspectFile(path);
      console.log(options.json ? JSON.stringify(report, null, 2) : reportText(report));
      if (report.verdict !== "good") process.exitCode = 1;
    });
}

const HELP = `
A log is a ring of records behind two headers. The newer good header says where the tail is; the records from there on, up to the head,
are what a front takes up. "live" is how much of a record no later one covers. A torn or missing record at the head is what a power cut
leaves, and is well, as long as nothing says that it had been durable; if something does, the log is damaged and no front takes it up.

Examples:
  skink log inspect /var/lib/skink/disk.log
  skink log inspect /var/lib/skink/disk.log --json | jq .verdict

Exit codes: 0 the log is good, 1 it is damaged or no log, 2 bad usage.`;

function inspectFile(path: string): Report {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const what = `${code === "ENOENT" ? "there is no such file" : message}, a log was wanted`;
    throw new SkinkError("log-file", `Cannot inspect the log ${path}: ${what}`, { cause: error });
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() && !stat.isBlockDevice()) {
      throw new SkinkError("log-file", `Cannot inspect the log ${path}: a regular file or a block device was wanted`);
    }
    const size = stat.isBlockDevice() ? blockDeviceSize(fd) : stat.size;
    return { path, held: isLocked(fd), ...inspect(new OpenLogFile(fd, size)) };
  } finally {
    closeSync(fd);
  }
}

function reportText(report: Report): string {
  const { path, size, verdict, why, held, headers, tail, head, records, store, headerCase, endsWith, endCase } = report;
  const cases = [headerCase, endsWith, endCase].filter((name) => name !== undefined).join(", ");
  const place = (what: string, at: typeof tail) =>
    at === undefined ? [] : [`${what}  record ${at.sequence}, at byte ${at.byte}`];
  return [
    `${path}: ${formatSize(size)}, ${verdict} (${cases})`,
    `  ${why}`,
    ...(held ? ["  a front has it open: what follows may be changing"] : []),
    ...headers.map(headerLine),
    ...place("tail  ", tail),
    ...place("head  ", head),
    `store   ${store === undefined ? "none was ever served" : JSON.stringify(store)}`,
    ...(records.length === 0
      ? ["no records"]
      : ["SEQUENCE  BYTE          KIND   OFFSET          LENGTH    LIVE", ...records.map(line)]),
  ].join("\n");
}

function headerLine({ byte, slot, counts, sequence, run, synced, pid }: Report["headers"][number]): string {
  const what =
    sequence === undefined ? "" : ` number ${sequence}, run ${run} of pid ${pid}, durable up to record ${synced}`;
  return `header  at byte ${byte}: ${slot}${what}${counts ? ", counts" : ""}`;
}

function line({ sequence, byte, kind, offset, length, live }: InspectedRecord): string {
  const cells = [
    String(sequence).padEnd(8),
    String(byte).padEnd(12),
    kind.padEnd(5),
    String(offset).padEnd(14),
    String(length).padEnd(8),
  ];
  const state = kind === "wrap" ? "" : live === 0 ? "superseded" : live === length ? "live" : `${live} bytes live`;
  return [...cells, state].join("  ").trimEnd();
}
