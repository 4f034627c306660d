/** The history against the rule itself, written down as plainly as can be, over all that has ever happened. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { type Change, type Content, type ReadInFlight, SectorHistory } from "./history.ts";
import type { Wrong } from "./wrong.ts";

const SECTORS = 3;
const SECTOR_BYTES = 512;
const NEVER = Number.POSITIVE_INFINITY;
const ZEROES = new Uint8Array(SECTOR_BYTES);

interface Known {
  readonly content: Content;
  readonly sectors: ReadonlySet<number>;
  readonly startedAt: number;
  endedAt: number;
  acknowledged: boolean;
  durable: boolean;
  /** Of a stamp: itself. */
  readonly change: Change | undefined;
}

/** What a read has told of the order of changes which had all been acknowledged when it was asked for. */
interface Sighting {
  readonly sector: number;
  readonly value: Change | undefined;
  readonly askedAt: number;
  readonly answeredAt: number;
}

class Model {
  readonly known: Known[] = [];
  readonly sightings: Sighting[] = [];
  now = 1;

  constructor() {
    Object.assign(this.begin("zeroes", [0, 1, 2], undefined), { endedAt: 0, acknowledged: true });
  }

  begin(content: Content, sectors: readonly number[], change: Change | undefined): Known {
    const startedAt = this.known.length === 0 ? 0 : this.now++;
    const known = {
      content,
      sectors: new Set(sectors),
      startedAt,
      endedAt: NEVER,
      acknowledged: false,
      durable: false,
      change,
    };
    this.known.push(known);
    return known;
  }

  end(known: Known, acknowledged: boolean, durable: boolean): void {
    Object.assign(known, { endedAt: this.now++, acknowledged, durable });
  }

  flushed(begunAt: number): void {
    for (const known of this.known) if (known.acknowledged && known.endedAt < begunAt) known.durable = true;
  }

  /** Whether a read of `sector` that was asked for at `at` may find the value of a change; `undefined` for zeroes. */
  allows(sector: number, value: Change | undefined, at: number): boolean {
    return this.#possible(sector, at).some((one) => isValue(one, value));
  }

  /** A read that was asked for at `at` has found that value, which it was allowed to. */
  sees(sector: number, value: Change | undefined, at: number): void {
    const answeredAt = this.now++;
    const possible = this.#possible(sector, answeredAt);
    const isOpen = possible.some(
      ({ content, startedAt, endedAt, acknowledged }) =>
        content === "unspecified" ||
        (startedAt < at ? !(acknowledged && endedAt < at) : endedAt < NEVER && !acknowledged),
    );
    const found = possible.filter((one) => isValue(one, value));
    const isOld = found.length > 0 && found.every(({ startedAt }) => startedAt < at);
    if (!isOpen && isOld) this.sightings.push({ sector, value, askedAt: at, answeredAt });
  }

  isLie(sector: number, value: Change | undefined): boolean {
    return !this.#of(sector).some(
      (one) => isValue(one, value) && !this.#of(sector).some((other) => other.durable && other.startedAt > one.endedAt),
    );
  }

  /** From now on anything goes there. */
  forgive(sector: number): void {
    const known = this.begin("unspecified", [sector], undefined);
    known.endedAt = known.startedAt;
  }

  #possible(sector: number, at: number): Known[] {
    return this.#of(sector).filter(
      (one) =>
        !this.#of(sector).some((other) => other.acknowledged && other.startedAt > one.endedAt && other.endedAt < at) &&
        !this.sightings.some(
          (sighting) =>
            sighting.sector === sector &&
            sighting.askedAt > one.endedAt &&
            sighting.answeredAt < at &&
            !isValue(one, sighting.value),
        ),
    );
  }

  #of(sector: number): Known[] {
    return this.known.filter(({ sectors }) => sectors.has(sector));
  }
}

function isValue({ content, change }: Known, value: Change | undefined): boolean {
  if (content === "unspecified") return true;
  return content === "zeroes" ? value === undefined : value !== undefined && change === value;
}

const ranges = fc
  .tuple(fc.nat(SECTORS - 1), fc.integer({ min: 1, max: SECTORS }))
  .map(([sector, count]) => Array.from({ length: Math.min(count, SECTORS - sector) }, (_, at) => sector + at));
const step = fc.record({
  act: fc.constantFrom(
    "begin",
    "begin",
    "begin",
    "acknowledge",
    "acknowledge",
    "fail",
    "fua",
    "read",
    "read",
    "answer",
    "answer",
    "flush",
    "flushed",
  ),
  content: fc.constantFrom<Content>("stamp", "stamp", "stamp", "stamp", "zeroes", "unspecified"),
  range: ranges,
  pick: fc.nat(),
  values: fc.array(fc.nat(), { minLength: SECTORS, maxLength: SECTORS }),
});
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Goes through the steps on both sides, and compares each answer. `exact`: also whether there is a lie in any case. */
function compare(steps: readonly Step[], exact: boolean): void {
  const history = new SectorHistory({ sectors: SECTORS, sectorBytes: SECTOR_BYTES });
  const model = new Model();
  const inFlight: Known[] = [];
  const reads: { readonly read: ReadInFlight; readonly at: number }[] = [];
  const flushes: { readonly token: number; readonly at: number }[] = [];

  const settle = (known: Known | undefined, act: string): void => {
    if (known === undefined) return;
    if (act === "fail") history.failed(known.change as Change);
    else history.acknowledged(known.change as Change, act === "fua");
    model.end(known, act !== "fail", act === "fua");
  };
  /** A value that some change of the sector has written, or zeroes. */
  const pickValue = (sector: number, pick: number): Change | undefined => {
    const stamps = model.known.filter(({ content, sectors }) => content === "stamp" && sectors.has(sector));
    return stamps.at(-1 - (pick % (stamps.length + 1)))?.change;
  };
  const answer = (entry: (typeof reads)[number] | undefined, values: readonly number[]): void => {
    if (entry === undefined) return;
    const { read, at } = entry;
    const bytes = new Uint8Array(read.count * SECTOR_BYTES);
    const wanted: Pick<Wrong, "sector" | "kind">[] = [];
    const lies: boolean[] = [];
    for (let sector = read.sector; sector < read.sector + read.count; sector++) {
      const value = pickValue(sector, values[sector] as number);
      const start = value === undefined ? 0 : (sector - value.sector) * SECTOR_BYTES;
      const content = value === undefined ? ZEROES : history.stamped(value).subarray(start, start + SECTOR_BYTES);
      bytes.set(content, (sector - read.sector) * SECTOR_BYTES);
      if (model.allows(sector, value, at)) {
        model.sees(sector, value, at);
        continue;
      }
      wanted.push({ sector, kind: "lost" });
      lies.push(model.isLie(sector, value));
    }
    const wrongs = history.endRead(read, bytes);
    assert.deepEqual(
      wrongs.map(({ sector, kind }) => ({ sector, kind })),
      wanted,
    );
    for (const [index, { flushed }] of wrongs.entries()) {
      if (exact || flushed) assert.equal(flushed, lies[index]);
    }
    for (const { sector } of wanted) model.forgive(sector);
  };

  for (const { act, content, range, pick, values } of steps) {
    const [first = 0] = range;
    if (act === "begin") {
      const change = history.begin(content, first, range.length);
      inFlight.push(model.begin(content, range, change));
      if (exact) settle(inFlight.pop(), pick % 5 === 0 ? "fail" : pick % 5 === 1 ? "fua" : "acknowledge");
    } else if (act === "read") {
      reads.push({ read: history.beginRead(first, range.length), at: model.now++ });
      if (exact) answer(reads.pop(), values);
    } else if (act === "flush" && !(exact && flushes.length > 0)) {
      flushes.push({ token: history.flushBegun(), at: model.now++ });
    } else if (act === "flushed") {
      const [flush] = flushes.splice(pick % (flushes.length + 1), 1);
      if (flush === undefined) continue;
      history.flushAcknowledged(flush.token);
      model.flushed(flush.at);
    } else if (act === "answer") answer(reads.splice(pick % (reads.length + 1), 1)[0], values);
    else settle(inFlight.splice(pick % (inFlight.length + 1), 1)[0], act);
  }
}

const RUNS = Number(process.env.SKINK_HISTORY_RUNS ?? 2000);
const options = { numRuns: RUNS };

test("requests that overlap in any way: each read is judged as the rule says, and no flush is called a lie that was none", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => compare(steps, false)),
    options,
  );
});

test("requests one after another: flushes that lied are found, each of them", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => compare(steps, true)),
    options,
  );
});
