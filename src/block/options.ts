import { SkinkError } from "./errors.ts";
import { isBlockSize, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE } from "./geometry.ts";
import { nearest } from "./nearest.ts";
import { parseSize } from "./size.ts";

/** How one option is read: its value from the text, or from its absence. Throws an error whose message says why. */
export type OptionReader<Value> = (text: string | undefined) => Value;

type Values<Readers> = {
  readonly [Key in keyof Readers]: Readers[Key] extends OptionReader<infer Value> ? Value : never;
};

/**
 * The `options` of a built-in driver: each read by its reader, anything else refused. A driver of one's own does the
 * same with a zod schema; the built-in ones don't, since loading zod takes as long as starting Node, and every
 * restart would pay for it.
 */
export function optionsFor<Readers extends Record<string, OptionReader<unknown>>>(
  driver: string,
  readers: Readers,
): { parse(raw: Record<string, string>): Values<Readers> } {
  const known = Object.keys(readers);
  return {
    parse(raw) {
      for (const key of Object.keys(raw)) {
        if (known.includes(key)) continue;
        const meant = nearest(key, known);
        const wanted = meant === undefined ? `one of ${known.join(", ")} was wanted` : `was ${meant} meant?`;
        throw badOption(driver, `there is no option ${JSON.stringify(key)}, ${wanted}`);
      }
      const values: Record<string, unknown> = {};
      for (const [key, read] of Object.entries(readers)) {
        try {
          values[key] = read(Object.hasOwn(raw, key) ? raw[key] : undefined);
        } catch (error) {
          throw badOption(driver, `option ${key}: ${reasonOf(error)}`);
        }
      }
      return values as Values<Readers>;
    },
  };
}

/** A reader of what must be there. */
export function required<Value>(parse: (text: string) => Value): OptionReader<Value> {
  return (text) => {
    if (text === undefined || text === "") throw new Error("it is missing");
    return parse(text);
  };
}

/** A reader of what may be left out. */
export function optional<Value, Absent>(parse: (text: string) => Value, absent: Absent): OptionReader<Value | Absent> {
  return (text) => (text === undefined ? absent : parse(text));
}

/** The size of a device: not zero. Bytes. */
export function deviceSize(text: string): number {
  const bytes = parseSize(text);
  if (bytes < MIN_BLOCK_SIZE) throw new Error(`${text} is too small, at least ${MIN_BLOCK_SIZE} was wanted`);
  return bytes;
}

export function blockSize(text: string): number {
  const bytes = parseSize(text);
  if (!isBlockSize(bytes)) {
    throw new Error(`it is ${text}, a power of two from ${MIN_BLOCK_SIZE} to ${MAX_BLOCK_SIZE} was wanted`);
  }
  return bytes;
}

export function flag(text: string): boolean {
  if (text === "true" || text === "") return true;
  if (text === "false") return false;
  throw new Error(`it is ${JSON.stringify(text)}, true or false was wanted`);
}

/** Microseconds, from "100us", "5ms" or "1s". */
export function durationUs(text: string): number {
  const match = /^(\d+)(us|ms|s)$/.exec(text);
  if (match === null) throw new Error(`it is ${JSON.stringify(text)}, a time such as 100us, 5ms or 1s was wanted`);
  return Number(match[1]) * { us: 1, ms: 1000, s: 1_000_000 }[match[2] as "us" | "ms" | "s"];
}

/** A whole number of that range. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= least && number <= most) return number;
    throw new Error(`it is ${JSON.stringify(text)}, a number from ${least} to ${most} was wanted`);
  };
}

export function text(value: string): string {
  return value;
}

function badOption(driver: string, what: string): SkinkError {
  return new SkinkError("bad-option", `Cannot open the ${driver} driver: ${what}`);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
