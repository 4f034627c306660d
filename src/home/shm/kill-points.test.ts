/** A front that dies between any two stores into its ledger, and between any two of the take-up after that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Payload, slotBytes } from "../../block/memory.ts";
import type { Request } from "../../block/request.ts";
import { Arena, arenaLayout } from "../../link/arena.ts";
import type { Home, KnownStore, Remains } from "../../shadow/home.ts";
import { Operation } from "../../shadow/operation.ts";
import type { Piece } from "../../shadow/piece-map.ts";
import { Shadow } from "../../shadow/shadow.ts";
import { GEOMETRY } from "../../shadow/testing.ts";
import { createShmHome, ledgerBytes, takeUpShmHome } from "./shm-home.ts";
import { Killed, MortalCells } from "./testing.ts";

/** Four fill the largest slot: so there are writes of several pieces, and several pieces of one slot. */
const UNIT = 256 << 10;
const UNITS = 16;
const PIECES = 40;

const layout = arenaLayout(0);
const data = new Uint8Array(layout.totalBytes);

interface Writer {
  readonly what: Piece["kind"];
  readonly at: number;
  readonly units: number;
  readonly durable: boolean;
  readonly mayTrim: boolean;
}

type Step = Writer | { what: "give up"; at: number } | { what: "remember" | "mark" | "flush" };

/** What a home has to hold. */
interface State {
  /** The newest acknowledged content of each unit: "write 3", "trim". */
  readonly units: readonly (string | undefined)[];
  /** When that was acknowledged: which step it was. */
  readonly steps: readonly number[];
  readonly epoch: number | undefined;
}

const EMPTY: State = { units: new Array(UNITS).fill(undefined), steps: new Array(UNITS).fill(0), epoch: undefined };

/** The real shadow over a home, and what it makes of the state. */
class Front {
  readonly #home: Home;
  readonly #arena: Arena;
  readonly #shadow: Shadow;
  #mark = 0;
  #markedStep = 0;
  readonly #firstStep: number;

  constructor(home: Home, arena: Arena, firstStep: number, remains?: Remains) {
    this.#firstStep = firstStep;
    this.#home = home;
    this.#arena = arena;
    this.#shadow = new Shadow({ home, release: (payload) => arena.release(payload), released: () => {} }, true);
    if (remains !== undefined) this.#shadow.restore(remains.pieces);
  }

  /** The state after a step that hasn't been done yet. */
  after(step: Step, number: number, { units, steps, epoch }: State): State {
    if (step.what === "remember") return { units, steps, epoch: number };
    const [given] = step.what === "give up" ? this.#shadow.overlapping(step.at * UNIT, UNIT) : [];
    const isHit = (unit: number): boolean => {
      // What a front before has left behind has been executed by no incarnation of this one.
      const done = steps[unit] as number;
      if (step.what === "flush") return done >= this.#firstStep && done < this.#markedStep;
      if ("units" in step) return unit >= step.at && unit < step.at + step.units;
      return given !== undefined && unit * UNIT >= given.offset && unit * UNIT < given.offset + given.length;
    };
    const content = "durable" in step && !step.durable ? describe(step.what, step.mayTrim, number) : undefined;
    return {
      units: units.map((before, unit) => (isHit(unit) ? content : before)),
      steps: steps.map((before, unit) => (isHit(unit) ? number : before)),
      epoch,
    };
  }

  do(step: Step, number: number): void {
    switch (step.what) {
      case "remember":
        return this.#home.remember(knownStore(number));
      case "mark":
        this.#mark = this.#shadow.mark();
        this.#markedStep = number;
        return;
      case "flush":
        return this.#shadow.release(this.#mark);
      case "give up":
        for (const piece of this.#shadow.overlapping(step.at * UNIT, UNIT)) this.#shadow.giveUp(piece);
        return;
      default:
        return this.#acknowledge(step, number);
    }
  }

  #acknowledge({ what, at, units, durable, mayTrim }: Writer, number: number): void {
    const payload = what === "write" ? this.#fill(at, units, number) : undefined;
    const range = { offset: at * UNIT, length: units * UNIT };
    const request = { kind: what, ...range, fua: durable, mayTrim, payload } as Request;
    const operation = Operation.forRequest(request, number);
    operation.generation = this.#shadow.generation;
    this.#shadow.acknowledge(operation, durable);
    if (payload !== undefined) this.#arena.release(payload);
  }

  /** Each unit says whose it is, and which. */
  #fill(at: number, units: number, number: number): Payload {
    const payload = this.#arena.allocate(units * UNIT) as Payload;
    for (let unit = 0; unit < units; unit++) slotBytes(payload, unit * UNIT, 2).set([number, at + unit]);
    return payload;
  }
}

function describe(kind: Piece["kind"], mayTrim: boolean, number = 0): string {
  return `${kind}${kind === "write" ? ` ${number}` : ""}${mayTrim ? ", may trim" : ""}`;
}

function knownStore(epoch: number): KnownStore {
  return { geometry: GEOMETRY, epoch, kind: "test", identity: "é" };
}

/** What was found, without the steps. Each unit must be there once. */
function stateOf({ store, pieces }: Remains): Omit<State, "steps"> {
  const units: (string | undefined)[] = new Array(UNITS).fill(undefined);
  for (const { offset, length, kind, mayTrim, payload, start } of pieces) {
    for (let at = 0; at < length; at += UNIT) {
      const unit = (offset + at) / UNIT;
      assert.equal(units[unit], undefined, "pieces overlap");
      const [number, which] = payload === undefined ? [0, unit] : slotBytes(payload, start + at, 2);
      assert.equal(which, unit, "the data is another unit's");
      units[unit] = describe(kind, mayTrim, number);
    }
  }
  if (store !== undefined) assert.deepEqual(store, knownStore(store.epoch));
  return { units, epoch: store?.epoch };
}

function withoutSteps({ units, epoch }: State): Omit<State, "steps"> {
  return { units, epoch };
}

interface Death {
  readonly cells: MortalCells;
  readonly before: State;
  readonly after: State;
  /** The step that it died of; `undefined` if it came to the end. */
  readonly step: Step | undefined;
}

/** Runs a front over an empty ledger until it has made so many stores, or is through. */
function live(script: readonly Step[], stores: number): Death {
  const cells = new MortalCells(new ArrayBuffer(ledgerBytes(PIECES)));
  const arena = new Arena(layout, data);
  const front = new Front(createShmHome(cells, arena, PIECES), arena, 1);
  front.do({ what: "remember" }, 0);
  cells.stores = 0;
  cells.left = stores;
  let before: State = { ...EMPTY, epoch: 0 };
  for (const [index, step] of script.entries()) {
    const number = index + 1;
    const after = front.after(step, number, before);
    try {
      front.do(step, number);
    } catch (error) {
      if (error instanceof Killed) return { cells, before, after, step };
      throw error;
    }
    before = after;
  }
  return { cells, before, after: before, step: undefined };
}

/** Takes up what is there, with a front that dies of it after so many stores, if there are so many. */
function takeUp(
  memory: ArrayBuffer,
  stores = Number.POSITIVE_INFINITY,
): { remains: Remains; home: Home; arena: Arena; stores: number } {
  const cells = new MortalCells(memory);
  cells.left = stores;
  const arena = new Arena(layout, data);
  return { ...takeUpShmHome(cells, arena, PIECES), arena, stores: cells.stores };
}

/** A death within a step leaves what was before it, or after it; in each unit, if it puts or drops several pieces. */
function checkDeath({ before, after, step }: Death, found: Omit<State, "steps">): void {
  const isOnePut =
    step !== undefined && "durable" in step && !step.durable && (step.what !== "write" || step.units <= 4);
  const states = [withoutSteps(before), withoutSteps(after)];
  if (isOnePut || step === undefined || step.what === "remember") {
    const isEither = states.some((state) => JSON.stringify(state) === JSON.stringify(found));
    if (!isEither) assert.deepEqual(found, states[0]);
    return;
  }
  assert.equal(found.epoch, before.epoch);
  for (const [unit, content] of found.units.entries())
    assert(
      states.some(({ units }) => units[unit] === content),
      `${JSON.stringify(step)} left ${content} in unit ${unit}`,
    );
}

/** Kills at every store of the script, and at every one of each take-up after that. How many deaths there were. */
function killEverywhere(script: readonly Step[]): number {
  const { stores } = live(script, Number.POSITIVE_INFINITY).cells;
  let deaths = 0;
  for (let kill = 0; kill <= stores; kill++) {
    const death = live(script, kill);
    assert.equal(death.step === undefined, kill === stores);
    const left = death.cells.bytes.slice().buffer;
    const first = takeUp(left.slice(0));
    const found = stateOf(first.remains);
    checkDeath(death, found);
    deaths++;
    for (let again = 0; again < first.stores; again++) {
      const memory = left.slice(0);
      assert.throws(() => takeUp(memory, again), Killed);
      const second = takeUp(memory);
      assert.deepEqual(stateOf(second.remains), found);
      assert.equal(second.remains.pieces.length, first.remains.pieces.length);
      deaths++;
    }
  }
  return deaths;
}

const place = { at: fc.integer({ min: 0, max: UNITS - 1 }), units: fc.integer({ min: 1, max: 10 }) };
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .record({
        what: fc.constantFrom("write", "write", "zero", "trim"),
        ...place,
        durable: fc.nat(4).map((chance) => chance === 0),
        mayTrim: fc.boolean(),
      })
      .map(
        (step): Step => ({
          ...step,
          units: Math.min(step.units, UNITS - step.at),
          mayTrim: step.what === "zero" && step.mayTrim,
        }),
      ),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("give up"), at: place.at }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ what: "remember" }, { what: "mark" }, { what: "flush" }) },
);

test("a front that dies at any store leaves each write behind as it was before or after it, and so does the take-up", () => {
  const put = (what: "write" | "zero" | "trim", at: number, units: number, durable = false): Step => ({
    what,
    at,
    units,
    durable,
    mayTrim: what === "zero",
  });
  const deaths = killEverywhere([
    put("write", 0, 8),
    put("write", 1, 1),
    put("zero", 2, 4),
    { what: "mark" },
    { what: "remember" },
    put("write", 3, 2),
    put("write", 0, 3, true),
    put("trim", 4, 9),
    put("write", 5, 2, true),
    put("write", 8, 1),
    { what: "flush" },
    { what: "give up", at: 10 },
    put("write", 2, 10),
    { what: "remember" },
    { what: "mark" },
    { what: "flush" },
  ]);
  assert(deaths > 1000);
});

test("the same for any script", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 14 }), (script) => void killEverywhere(script)),
    { numRuns: 100 },
  );
});

test("one front after another dies, and each goes on with what the one before has acknowledged", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.array(anyStep, { maxLength: 8 }), fc.nat(150)), { maxLength: 12 }), (lives) => {
      let { cells, before: state } = live([], 0);
      let number = 1;
      for (const [script, stores] of lives) {
        const memory = cells.bytes.buffer as ArrayBuffer;
        cells = new MortalCells(memory);
        const arena = new Arena(layout, data);
        const { home, remains } = takeUpShmHome(cells, arena, PIECES);
        const front = new Front(home, arena, number, remains);
        cells.left = stores;
        for (const step of script) {
          const after = front.after(step, number, state);
          const before = state;
          state = after;
          try {
            front.do(step, number++);
          } catch (error) {
            if (!(error instanceof Killed)) throw error;
            const found = stateOf(takeUp(memory.slice(0)).remains);
            checkDeath({ cells, before, after, step }, found);
            state = { ...state, ...found };
            break;
          }
        }
        assert.deepEqual(stateOf(takeUp(memory.slice(0)).remains), withoutSteps(state));
      }
    }),
    { numRuns: 60 },
  );
});
