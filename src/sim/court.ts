import { ERRNO } from "../block/errors.ts";
import type { Blame } from "../block/fault.ts";
import { overlaps } from "../block/geometry.ts";
import { MAX_SLOT_BYTES } from "../block/memory.ts";
import type { Operation } from "../shadow/ports.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import type { Entry } from "./history.ts";
import { Violation } from "./violation.ts";

/** Deaths, alone with the driver, that convict; more where somebody else may have been the cause. */
const SURE_DEATHS = 2;
const UNSURE_DEATHS = 3;
/** No poison request costs more incarnations. */
const MOST_DEATHS = 5;
const CHECKS = 2;
const MANY_KILLERS = 10;

/** What a driver was asked to do, in sectors. */
export interface Deed {
  readonly operation: Operation;
  readonly first: number;
  readonly count: number;
}

interface Death {
  readonly blame: Blame;
  readonly outstanding: readonly Deed[];
}

type Conviction = Extract<DeviceEvent, { type: "convicted" }>;

interface Sentence extends Deed {
  readonly acknowledged: boolean;
  /** In the history's order of events. */
  readonly at: number;
}

/** Looks over the shoulder of those who convict requests of killing drivers (P8), with what the drivers know. */
export class Court {
  /** Convictions of what had killed, and of what had been unlucky again and again. */
  guilty = 0;
  unlucky = 0;
  /** Of these, pieces that had been acknowledged. */
  pieces = 0;
  readonly #blockSize: number;
  /** Nothing but poison kills in this world, and surely so: the bound of deaths holds. */
  readonly #strict: boolean;
  readonly #deaths: Death[] = [];
  /** What has killed, and how often since it was convicted last. */
  readonly #killers = new Map<string, Deed & { times: number }>();
  readonly #sentences: Sentence[] = [];
  /** How many requests asked for the same range, or have it as a part of their own, of one slot. */
  readonly #asked = new Map<string, number>();

  constructor(blockSize: number, strict: boolean) {
    this.#blockSize = blockSize;
    this.#strict = strict;
  }

  /** A client has asked for this. */
  asked({ first, count }: Entry): void {
    const slot = MAX_SLOT_BYTES / this.#blockSize;
    for (let at = 0; at < count; at += slot) {
      const range = `${first + at} ${Math.min(slot, count - at)}`;
      this.#asked.set(range, (this.#asked.get(range) ?? 0) + 1);
    }
  }

  /** An incarnation is given up; `outstanding`: what the front has got no completion of. */
  died(blame: Blame, outstanding: readonly Deed[]): void {
    this.#deaths.push({ blame, outstanding });
  }

  /** Poison was touched, and it is going to kill. */
  kills({ operation, first, count }: Deed): void {
    const key = `${operation} ${first} ${count}`;
    const known = this.#killers.get(key);
    const killer = { operation, first, count, times: (known?.times ?? 0) + 1 };
    this.#killers.set(key, killer);
    // One that is not under way may be found by the reads that look whether a store is the same, which give up at two.
    const most = operation === "read" && count === 1 ? MOST_DEATHS + CHECKS : MOST_DEATHS;
    const asked = this.#asked.get(`${first} ${count}`);
    // What is left of a larger piece, where that has been cut, may be just the range that a request asks for.
    const isPiece = (sentence: Sentence): boolean =>
      sentence.acknowledged && sentence.first === first && sentence.count === count;
    const alike = asked === undefined ? 1 : asked + (this.#sentences.some(isPiece) ? 1 : 0);
    if (this.#strict && killer.times > most * alike) {
      throw new Violation("P8", `${operation} of [${first}, ${first + count}) has killed ${killer.times} times`, first);
    }
  }

  /** The front that knew what speaks against whom is dead: the next one begins anew. */
  frontDied(): void {
    this.#deaths.length = 0;
    this.#killers.clear();
  }

  /** The device has been without a driver for too long. */
  held(reason: string): void {
    // Each of them takes five deaths, and a hang half a second to be found: that may well be too long for all of them.
    if (this.#killers.size > MANY_KILLERS) return;
    if (this.#strict) throw new Violation("P8", `the device is held though others could be served: ${reason}`);
  }

  /** `at`: in the history's order of events. */
  convicted({ operation, offset, length, acknowledged }: Conviction, at: number): void {
    const sentence = {
      operation: operation as Operation,
      first: offset / this.#blockSize,
      count: length / this.#blockSize,
      acknowledged,
      at,
    };
    const alone = this.#deaths.filter(
      ({ blame, outstanding }) =>
        blame !== "nobody" && outstanding.length > 0 && outstanding.every((deed) => isOf(sentence, deed)),
    );
    const surely = alone.filter(({ blame }) => blame === "requests").length;
    if (surely < SURE_DEATHS && alone.length < UNSURE_DEATHS) {
      const range = `${operation} of [${sentence.first}, ${sentence.first + sentence.count})`;
      const evidence = `it was alone with ${alone.length} that died, ${surely} of them surely by themselves`;
      throw new Violation("P8", `${range} is convicted although ${evidence}`, sentence.first);
    }
    let guilty = false;
    for (const killer of this.#killers.values()) {
      if (!isOf(sentence, killer)) continue;
      guilty = true;
      // A piece is not offered to a driver again: more deaths are too many.
      if (!acknowledged) killer.times = 0;
    }
    if (guilty) this.guilty++;
    else this.unlucky++;
    if (acknowledged) this.pieces++;
    this.#sentences.push(sentence);
  }

  /** Whether a request got an error because it was convicted while the device had it. */
  excuses(entry: Entry, errno: number): boolean {
    if (errno !== ERRNO.EIO) return false;
    return this.#sentences.some(
      (sentence) =>
        !sentence.acknowledged &&
        sentence.at >= entry.arrivedAt &&
        sentence.at < entry.repliedAt &&
        isSentenced(sentence, entry),
    );
  }

  /** Whether a piece was ever convicted: no flush is honest until it is overwritten, or taken by another driver. */
  get holdsPieces(): boolean {
    return this.#sentences.some(({ acknowledged }) => acknowledged);
  }
}

/** Whether a submission was made for the convict: a zero may have been executed as a write, a piece be cut since. */
function isOf({ operation, first, count, acknowledged }: Sentence, deed: Deed): boolean {
  if (operation === "flush" || deed.operation === "flush") return operation === deed.operation;
  const same = deed.operation === operation || (operation === "zero" && deed.operation === "write");
  if (!same) return false;
  if (acknowledged) return overlaps(first, count, deed.first, deed.count);
  return first <= deed.first && deed.first + deed.count <= first + count;
}

function isSentenced(sentence: Sentence, entry: Entry): boolean {
  if (sentence.operation === "flush") return entry.kind === "flush" || entry.fua;
  return sentence.operation === entry.kind && sentence.first === entry.first && sentence.count === entry.count;
}
