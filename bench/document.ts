import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SkinkError } from "../src/block/errors.ts";
import { formatReport, type Machine, type Report } from "./results.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/performance.md", import.meta.url));
const START = "<!-- results: written by npm run bench -->";
const END = "<!-- end of results -->";

/** Puts the reports between the marks of docs/performance.md, and leaves the rest as it is. */
export function writeDocument(reports: readonly Report[]): void {
  writeFileSync(DOCUMENT, withResults(readFileSync(DOCUMENT, "utf8"), reports));
}

/** Throws `no-marks` where the marks are not there, in order. */
export function withResults(document: string, reports: readonly Report[]): string {
  const sections = reports.map(
    (report) => `### ${report.part}\n\n${formatReport(report)}\n\n${origin(report.machine)}`,
  );
  return betweenMarks(document, START, END, sections.length === 0 ? "None yet." : sections.join("\n\n"));
}

/** The document with `body` between the two marks, in place of what was there. Throws `no-marks` as `withResults` does. */
export function betweenMarks(document: string, startMark: string, endMark: string, body: string): string {
  const start = document.indexOf(startMark);
  const end = document.indexOf(endMark);
  if (start === -1 || end < start) {
    throw new SkinkError(
      "no-marks",
      `Cannot write the results: the page lacks its marks, ${startMark} and ${endMark} were wanted`,
    );
  }
  return `${document.slice(0, start + startMark.length)}\n\n${body}\n\n${document.slice(end)}`;
}

function origin({ cpu, cpus, kernel, node }: Machine): string {
  return `*${cpu}, ${cpus} CPUs, Linux ${kernel}, Node ${node}.*`;
}
