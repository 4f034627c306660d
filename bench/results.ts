import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("results", import.meta.url));

/** Whether a goal is reached. */
export interface Verdict {
  /** "memory, 4 KiB random read, QD 64: at least 1.00 of nbdkit". */
  readonly goal: string;
  /** With its unit, for people. */
  readonly measured: string;
  readonly met: boolean;
}

/** What one part of the bench found out. */
export interface Report {
  readonly part: string;
  readonly machine: Machine;
  /** How it was measured, in words. */
  readonly method: string;
  readonly data: unknown;
  /** Markdown. */
  readonly tables: readonly string[];
  readonly verdicts: readonly Verdict[];
}

export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly kernel: string;
  readonly node: string;
}

export function thisMachine(): Machine {
  const all = cpus();
  return { cpu: all[0]?.model.trim() ?? "unknown", cpus: all.length, kernel: release(), node: process.version };
}

/** Keeps a report as bench/results/PART.json, and a picture of it beside. */
export function saveReport(report: Report, picture: string | undefined): void {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(`${FOLDER}/${report.part}.json`, `${JSON.stringify(report, undefined, 2)}\n`);
  if (picture !== undefined) writeFileSync(`${FOLDER}/${report.part}.svg`, picture);
}

/** The kept report of a part, or `undefined` where there is none. */
export function loadReport(part: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(`${FOLDER}/${part}.json`, "utf8")) as Report;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** A report as text: its tables, then each goal with what was measured. */
export function formatReport(report: Report): string {
  const goals = report.verdicts.map(({ goal, measured, met }) => `- ${met ? "met" : "NOT MET"}: ${goal}; ${measured}`);
  return [report.method, ...report.tables, ...(goals.length > 0 ? [goals.join("\n")] : [])].join("\n\n");
}
