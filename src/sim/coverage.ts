import { readFileSync } from "node:fs";
import { type Profiler, Session } from "node:inspector/promises";
import { fileURLToPath } from "node:url";

interface FileCoverage {
  readonly name: string;
  /** Blocks, as V8 counts them: functions, and within them the arms of branches, what follows a jump, and bodies of loops. */
  readonly blocks: number;
  readonly blocksReached: number;
  readonly lines: number;
  readonly linesReached: number;
  /** "12" or "12-15". */
  readonly missed: readonly string[];
}

/** Which parts of the sources this thread has come to since `start`: V8's own counts, by blocks. */
export class Coverage {
  readonly #session: Session;
  readonly #root: URL;
  readonly #rooms: readonly string[];

  private constructor(session: Session, root: URL, rooms: readonly string[]) {
    this.#session = session;
    this.#root = root;
    this.#rooms = rooms;
  }

  /** `rooms`: folders below `root` whose files are of interest. */
  static async start(root: URL, rooms: readonly string[]): Promise<Coverage> {
    const session = new Session();
    session.connect();
    await session.post("Profiler.enable");
    await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    return new Coverage(session, root, rooms);
  }

  /** A table by file, then what was never come to, as FILE:LINES. Ends the counting. */
  async report(): Promise<string[]> {
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    this.#session.disconnect();
    const files = result
      .flatMap((script) => {
        const name = this.#nameOf(script.url);
        return name === undefined ? [] : [coverageOf(name, script)];
      })
      .sort((a, b) => a.name.localeCompare(b.name));
    const total = {
      name: "all",
      blocks: sum(files, ({ blocks }) => blocks),
      blocksReached: sum(files, ({ blocksReached }) => blocksReached),
      lines: sum(files, ({ lines }) => lines),
      linesReached: sum(files, ({ linesReached }) => linesReached),
      missed: [],
    };
    const width = Math.max(...files.map(({ name }) => name.length));
    const row = ({ name, blocks, blocksReached, lines, linesReached }: FileCoverage): string =>
      `${name.padEnd(width)}  ${shareOf(blocksReached, blocks)} of ${String(blocks).padStart(5)} blocks  ` +
      `${shareOf(linesReached, lines)} of ${String(lines).padStart(5)} lines`;
    return [
      ...[...files, total].map(row),
      "",
      "never come to:",
      ...files.flatMap(({ name, missed }) => missed.map((range) => `  src/${name}:${range}`)),
    ];
  }

  /** Below `root`, if it is in one of the rooms and no test's. */
  #nameOf(url: string): string | undefined {
    if (!url.startsWith(this.#root.href)) return undefined;
    const name = url.slice(this.#root.href.length);
    const isHelper = name.includes("testing") || name.endsWith(".test.ts");
    return this.#rooms.some((room) => name.startsWith(`${room}/`)) && !isHelper ? name : undefined;
  }
}

/** Types are blanked out where they stand, so that V8's offsets are those of the file. */
function coverageOf(name: string, { url, functions }: Profiler.ScriptCoverage): FileCoverage {
  const text = readFileSync(fileURLToPath(url), "utf8");
  const reached = new Uint8Array(text.length).fill(1);
  let blocks = 0;
  let blocksReached = 0;
  // Outer ranges come before those inside of them, and functions before those that they contain.
  for (const { ranges } of functions) {
    for (const { startOffset, endOffset, count } of ranges) {
      blocks++;
      if (count > 0) blocksReached++;
      reached.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    }
  }
  const missedLines: number[] = [];
  let lines = 0;
  let at = 0;
  text.split("\n").forEach((line, index) => {
    if (isCode(line)) {
      lines++;
      if (isMissed(line, reached.subarray(at, at + line.length))) missedLines.push(index + 1);
    }
    at += line.length + 1;
  });
  return {
    name,
    blocks,
    blocksReached,
    lines,
    linesReached: lines - missedLines.length,
    missed: rangesOf(missedLines),
  };
}

/** Not empty, not a comment, and not only a bracket. */
function isCode(line: string): boolean {
  const text = line.trim();
  return /[\w"'`]/.test(text) && !text.startsWith("//") && !text.startsWith("*") && !text.startsWith("/*");
}

/** Something of the line was never come to, beside brackets. */
function isMissed(line: string, reached: Uint8Array): boolean {
  for (let i = 0; i < line.length; i++) {
    if (reached[i] === 0 && /[\w"'`]/.test(line[i] as string)) return true;
  }
  return false;
}

function rangesOf(lines: readonly number[]): string[] {
  const ranges: [number, number][] = [];
  for (const line of lines) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === line - 1) last[1] = line;
    else ranges.push([line, line]);
  }
  return ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`));
}

function shareOf(part: number, whole: number): string {
  return `${((100 * part) / Math.max(1, whole)).toFixed(1).padStart(5)} %`;
}

function sum<T>(all: readonly T[], value: (one: T) => number): number {
  return all.reduce((total, one) => total + value(one), 0);
}
