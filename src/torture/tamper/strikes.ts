import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** What is known of a fault's strikes. */
export interface Struck {
  readonly struck: boolean;
  /** When, on the clock of Date.now(), oldest first. One is missing where a kill came between strike and writing. */
  readonly timesMs: readonly number[];
}

const MARK = "struck-";

/**
 * The strikes of one trial's fault: a file each in a folder of the trial. They are made by whatever process is struck, and before
 * it is: so neither a strike that kills nor a kill by somebody else loses one.
 */
export class Strikes {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What has struck so far; for who looks from outside. */
  static of(folder: string): Struck {
    const marks = marksIn(folder).sort((one, other) => one - other);
    const texts = marks.map((mark) => readFileSync(join(folder, `${MARK}${mark}`), "utf8"));
    return { struck: marks.length > 0, timesMs: texts.filter((text) => text !== "").map(Number) };
  }

  get count(): number {
    return marksIn(this.#folder).length;
  }

  /** Marks the strike with that number, from 1 on. False if it has been struck before, here or in another process. */
  claim(number: number): boolean {
    return create(join(this.#folder, `${MARK}${number}`), `${Date.now()}`);
  }

  /** Makes this incarnation the one that a transient fault of the code is in. False if there has been one. */
  claimIncarnation(): boolean {
    return create(join(this.#folder, "incarnation"), "");
  }
}

function marksIn(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(MARK))
    .map((name) => Number(name.slice(MARK.length)));
}

function create(path: string, text: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  writeSync(fd, text);
  closeSync(fd);
  return true;
}
