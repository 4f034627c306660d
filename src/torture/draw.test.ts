import { strict as assert } from "node:assert";
import { test } from "node:test";
import { LOAD_PATTERNS } from "../load/pattern.ts";
import { drawTrial, type Menu, tiersOf } from "./draw.ts";
import { type CodeFault, type Fault, PROCESS_KINDS, type Tier, type TrialPlan, WIRE_KINDS } from "./plan.ts";

const MENU: Menu = {
  code: (random) => ({ ...MUTANT, start: random.below(1000) }),
  wire: WIRE_KINDS,
  process: PROCESS_KINDS,
};
const MUTANT: Omit<CodeFault, "persistence"> = {
  tier: "code",
  kind: "inverted-condition",
  file: "file:///driver.ts",
  start: 0,
  end: 1,
  replacement: "x",
  line: 1,
  description: "a to b",
};
const TIERS: readonly Tier[] = ["code", "wire", "process"];
const OPTIONS = { seed: 7, tiers: TIERS, persistence: undefined, loadMs: 150 };
/** A multiple of tiers × persistences × kinds, for all of them. */
const ROUND = 3 * 2 * WIRE_KINDS.length * PROCESS_KINDS.length;

function draw(count: number, options: Partial<typeof OPTIONS> = {}, menu = MENU): TrialPlan[] {
  return Array.from({ length: count }, (_, index) => drawTrial({ ...OPTIONS, ...options }, menu, index));
}

function counts<Key>(plans: readonly TrialPlan[], keyOf: (plan: TrialPlan) => Key): Map<Key, number> {
  const counted = new Map<Key, number>();
  for (const plan of plans) counted.set(keyOf(plan), (counted.get(keyOf(plan)) ?? 0) + 1);
  return counted;
}

test("a trial is the same whenever it is drawn, and whatever was drawn before", () => {
  const all = draw(50);
  assert.deepEqual(drawTrial(OPTIONS, MENU, 37), all[37]);
  assert.deepEqual(JSON.parse(JSON.stringify(all[37])), all[37]);
});

test("another seed makes other trials", () => {
  const seeds = (plans: readonly TrialPlan[]): number[] => plans.map(({ seed }) => seed);
  assert.notDeepEqual(seeds(draw(20)), seeds(draw(20, { seed: 8 })));
  assert.equal(new Set(seeds(draw(1000))).size, 1000);
});

test("seeds past 32 bits are seeds of their own", () => {
  assert.notEqual(drawTrial({ ...OPTIONS, seed: 2 ** 32 + 7 }, MENU, 0).seed, drawTrial(OPTIONS, MENU, 0).seed);
});

test("tiers, persistences and kinds come equally often", () => {
  const plans = draw(ROUND);
  assert.deepEqual(new Set(counts(plans, ({ fault }) => fault.tier).values()), new Set([ROUND / 3]));
  for (const tier of TIERS) {
    const ofTier = plans.filter(({ fault }) => fault.tier === tier);
    assert.deepEqual(new Set(counts(ofTier, ({ fault }) => fault.persistence).values()), new Set([ROUND / 6]));
  }
  for (const [tier, kinds] of [
    ["wire", WIRE_KINDS],
    ["process", PROCESS_KINDS],
  ] as const) {
    const ofTier = plans.filter(({ fault }) => fault.tier === tier);
    const byKind = counts(ofTier, ({ fault }) => `${fault.kind} ${fault.persistence}`);
    assert.equal(byKind.size, 2 * kinds.length);
    assert.deepEqual(new Set(byKind.values()), new Set([ROUND / 6 / kinds.length]));
  }
});

test("load patterns come about equally often", () => {
  const byPattern = counts(draw(4000), ({ load }) => load);
  assert.equal(byPattern.size, LOAD_PATTERNS.length);
  for (const count of byPattern.values()) assert.ok(count > 800 && count < 1200, `${count}`);
});

test("nothing is drawn but what is wanted and can be had", () => {
  const menu: Menu = { wire: ["late"], process: ["kill"] };
  assert.deepEqual(tiersOf(OPTIONS, menu), ["wire", "process"]);
  const drawn = new Set(draw(100, {}, menu).map(({ fault }) => fault.kind as string));
  assert.deepEqual(drawn, new Set(["late", "kill"]));
  const persistent = drawTrial({ ...OPTIONS, persistence: "persistent" }, MENU, 4);
  assert.equal(persistent.fault.persistence, "persistent");
});

test("to draw from nothing is an error", () => {
  assert.throws(() => drawTrial(OPTIONS, { wire: [], process: [] }, 0), /no fault/);
});

test("strikes come within the load, rows of them are transient, and only stops last", () => {
  const faults = draw(ROUND).map(({ fault }): Fault => fault);
  for (const fault of faults) {
    if (fault.tier === "wire") assert.ok(fault.nth >= 1 && Number.isInteger(fault.nth));
    if (fault.tier !== "process") continue;
    assert.equal(fault.lastsMs > 0, fault.kind === "stop");
    assert.ok(fault.afterMs <= OPTIONS.loadMs);
    if (fault.persistence === "persistent") assert.equal(fault.strikes, 1);
  }
  const rows = faults.filter((fault) => fault.tier === "process" && fault.strikes > 1);
  assert.ok(rows.length > 10);
});
