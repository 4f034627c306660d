import type { Clock } from "../shadow/ports.ts";

/** The kinds of events of a world; the place in this list goes into the trace's hash. */
const KINDS = [
  "start",
  "opened",
  "open fails",
  "close",
  "kill",
  "dies",
  "exited",
  "submit",
  "apply",
  "refuse",
  "complete",
  "bogus completion",
  "flush fails",
  "evict",
  "connect",
  "hang up",
  "send",
  "arrive",
  "reply",
  "receive",
  "stall",
  "faults off",
  "poison",
  "strain",
  "hang",
  "event",
  "log",
  "front starts",
  "front takes up",
  "front serves",
  "front dies",
  "power fails",
  "home breaks",
] as const;
export type EventKind = (typeof KINDS)[number];

const CODES = new Map<EventKind, number>(KINDS.map((kind, code) => [kind, code]));

interface Line {
  readonly text: string;
  /** The sectors it concerns; all of them where it concerns the whole device. */
  readonly first: number;
  readonly end: number;
}

/** Every event of a world in order: always as a hash, and as lines where somebody wants to read them. */
export class Trace {
  readonly #clock: Clock;
  readonly #lines: Line[] | undefined;
  #hash = 0x811c9dc5;

  constructor(clock: Clock, recording: boolean) {
    this.#clock = clock;
    this.#lines = recording ? [] : undefined;
  }

  /** Eight hexadecimal digits: FNV-1a over all events. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  get recording(): boolean {
    return this.#lines !== undefined;
  }

  /** `who`: an epoch or a connection. `what`: for the reader alone. */
  add(kind: EventKind, who: number, first: number, count: number, detail: number, what = ""): void {
    this.#mix(CODES.get(kind) ?? 0);
    this.#mix(this.#clock.now());
    this.#mix(who);
    this.#mix(first);
    this.#mix(count);
    this.#mix(detail);
    if (this.#lines === undefined) return;
    const range = count > 0 ? ` [${first}, ${first + count})` : "";
    const text = `${this.#clock.now().toFixed(0).padStart(7)} ms  ${kind} ${who}${range} ${detail} ${what}`;
    this.#lines.push({ text, first: count > 0 ? first : 0, end: count > 0 ? first + count : Number.POSITIVE_INFINITY });
  }

  /** The last lines; of those that concern `sector` if one is given. */
  last(lines: number, sector?: number): string[] {
    const all = this.#lines ?? [];
    const chosen = sector === undefined ? all : all.filter((line) => line.first <= sector && sector < line.end);
    return chosen.slice(-lines).map((line) => line.text);
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), 0x01000193);
    this.#hash = Math.imul(this.#hash ^ (this.#hash >>> 15), 0x2c1b3c6d);
  }
}
