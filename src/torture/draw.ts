import { SeededRandom } from "../block/random.ts";
import { LOAD_PATTERNS } from "../load/pattern.ts";
import type {
  CampaignOptions,
  CodeFault,
  Fault,
  Persistence,
  ProcessFault,
  ProcessKind,
  Tier,
  TrialPlan,
  WireKind,
} from "./plan.ts";

/** A strike may come as soon as this, and late enough in the load, in parts of it, that something is left to see. */
const EARLIEST_MS = 5;
const LATEST_SHARE = 0.8;
/** Some stops are over before anybody can have noticed, some are not. */
const SHORTEST_STOP_MS = 20;
const LONGEST_STOP_MS = 2000;
/** Most strikes are alone; one in so many comes several times in a row. */
const ONE_IN_ROWS = 3;
const LONGEST_ROW = 5;
/** Which call it is that a fault of the wire strikes. A persistent one that struck every call would leave nothing to be seen. */
const LAST_CALL = 300;
const MOST_FREQUENT_CALL = 4;

/** What can be done to a target at all. */
export interface Menu {
  /** Left out where there is no source to change. */
  readonly code?: (random: SeededRandom) => Omit<CodeFault, "persistence">;
  readonly wire: readonly WireKind[];
  readonly process: readonly ProcessKind[];
}

/** The tiers that are wanted and can be had, each once. */
export function tiersOf({ tiers }: Pick<CampaignOptions, "tiers">, menu: Menu): Tier[] {
  const has = { code: menu.code !== undefined, wire: menu.wire.length > 0, process: menu.process.length > 0 };
  return [...new Set(tiers)].filter((tier) => has[tier]);
}

/**
 * The trial of a number: the same for the same options, whatever came before it. Over any stretch of numbers the tiers, in each
 * of them persistence, and in each of these the kinds of fault are drawn equally often, but for one.
 *
 *   number = tier + tiers × (persistence + persistences × (kind + kinds × …))       with tiers and kinds in the seed's order
 *
 * Throws where there is nothing to draw from.
 */
export function drawTrial(
  options: Pick<CampaignOptions, "seed" | "tiers" | "persistence" | "loadMs">,
  menu: Menu,
  index: number,
): TrialPlan {
  const order = new SeededRandom(options.seed);
  const random = new SeededRandom(options.seed, index + 1);
  const take = <Item>(items: readonly Item[], number: number): [Item, number] => {
    if (items.length === 0) throw new Error("There is no fault to draw");
    return [items[number % items.length] as Item, Math.floor(number / items.length)];
  };
  const [tier, ofTier] = take(order.shuffled(tiersOf(options, menu)), index);
  const both: Persistence[] = order.shuffled(["transient", "persistent"]);
  const [persistence, rest] = take(options.persistence === undefined ? both : [options.persistence], ofTier);
  const pick = <Kind>(kinds: readonly Kind[]): Kind => take(order.shuffled(kinds), rest)[0];
  const draw = { code: drawCode, wire: drawWire, process: drawProcess }[tier];
  const fault = draw({ menu, random, persistence, loadMs: options.loadMs, pick });
  return { index, seed: random.next(), fault, load: random.pick(LOAD_PATTERNS) };
}

interface Draw {
  readonly menu: Menu;
  readonly random: SeededRandom;
  readonly persistence: Persistence;
  readonly loadMs: number;
  pick<Kind>(kinds: readonly Kind[]): Kind;
}

function drawCode({ menu, random, persistence }: Draw): Fault {
  return { ...(menu.code as NonNullable<Menu["code"]>)(random), persistence };
}

function drawWire({ menu, random, persistence, pick }: Draw): Fault {
  const first = persistence === "transient" ? 1 : MOST_FREQUENT_CALL;
  return { tier: "wire", kind: pick(menu.wire), persistence, nth: random.magnitude(first, LAST_CALL) };
}

function drawProcess({ menu, random, persistence, loadMs, pick }: Draw): Fault {
  const kind = pick(menu.process);
  const isTransient = persistence === "transient";
  const afterMs = random.between(EARLIEST_MS, Math.max(EARLIEST_MS, Math.floor(loadMs * LATEST_SHARE)));
  // To fill the memory of one incarnation after another takes long, and shows nothing more.
  const isRow = isTransient && kind !== "memory" && random.below(ONE_IN_ROWS) === 0;
  const strikes = isRow ? random.between(2, LONGEST_ROW) : 1;
  const lastsMs = kind === "stop" ? random.magnitude(SHORTEST_STOP_MS, LONGEST_STOP_MS) : 0;
  return { tier: "process", kind, persistence, afterMs, strikes, lastsMs } satisfies ProcessFault;
}
