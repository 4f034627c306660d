import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import type { Random } from "../shadow/ports.ts";
import { CurePlan, type UnplannedEnd } from "./cure.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import { FIRST, World } from "./testing.ts";

const FALLBACK = { kind: "fallback" };
const FRUITLESS: UnplannedEnd = { kind: "exit", liveMs: undefined, wasFruitful: false };

function plan(policy: Partial<Policy>, chance = 0.5, hasFallback = false): CurePlan {
  const random: Random = { below: (bound) => Math.floor(bound * chance) };
  return new CurePlan({ ...DEFAULT_POLICY, ...policy }, random, () => hasFallback);
}

function delays(cure: CurePlan, ends: readonly UnplannedEnd[]): (number | string)[] {
  return ends.map((end) => {
    const next = cure.next(end, 0);
    return "exhausted" in next ? "exhausted" : next.restartAfterMs;
  });
}

test("restarts are immediate, and delays double for those in a row that die before they have done anything", () => {
  const cure = plan({ restartDelayMs: 100, maxRestartDelayMs: 300 });
  assert.deepEqual(delays(cure, [FRUITLESS, FRUITLESS, FRUITLESS, FRUITLESS, FRUITLESS]), [0, 100, 200, 300, 300]);
  assert.deepEqual(delays(cure, [{ ...FRUITLESS, wasFruitful: true }, FRUITLESS]), [0, 0]);
});

test("when what ended them is found, the next one need not wait", () => {
  const cure = plan({});
  delays(cure, Array(8).fill(FRUITLESS));
  cure.found();
  assert.deepEqual(delays(cure, [FRUITLESS, FRUITLESS]), [0, 100]);
});

test("one that ends right after it was live is no better, unless somebody else ended it, or it was live for long", () => {
  const short = { ...FRUITLESS, liveMs: 5 };
  assert.deepEqual(delays(plan({}), [short, short, short]), [0, 100, 200]);
  for (const kind of ["killed", "operator"] as const) {
    assert.deepEqual(delays(plan({}), Array(5).fill({ ...short, kind })), [0, 0, 0, 0, 0]);
  }
  assert.deepEqual(delays(plan({}), Array(5).fill({ ...short, liveMs: 60_000 })), [0, 0, 0, 0, 0]);
});

test("delays are up to a quarter longer or shorter, at random", () => {
  assert.deepEqual(delays(plan({}, 0), [FRUITLESS, FRUITLESS]), [0, 75]);
  assert.deepEqual(delays(plan({}, 0.999), [FRUITLESS, FRUITLESS]), [0, 125]);
});

test("the budget of restarts is per time, whatever they did, and a fallback gives one where none is said", () => {
  const fruitful = { ...FRUITLESS, wasFruitful: true };
  const cure = plan({ restartBudget: 2, restartBudgetMs: 1000 });
  const isOver = (now: number): boolean => "exhausted" in cure.next(fruitful, now);
  assert.deepEqual([0, 900, 1001, 1002].map(isOver), [false, false, false, true]);
  const many = Array<UnplannedEnd>(1000).fill(fruitful);
  assert(!delays(plan({}), many).includes("exhausted"));
  assert.equal(delays(plan({}, 0.5, true), many).indexOf("exhausted"), 10);
});

/** Ends as often as the budget allows, and once more. */
function exhaust(world: World, restarts: number): void {
  for (let i = 0; i <= restarts; i++) {
    world.exit("exit code 1", "exit");
    world.clock.advance(1000);
  }
}

test("past the budget another driver takes over, and the operator's restart brings back the first", () => {
  const world = new World({ restartBudget: 1, heldTimeoutMs: 1e9 }, { first: FIRST, fallback: FALLBACK });
  world.open();
  world.send("write");
  world.link?.complete("write");
  world.exit("exit code 1", "exit");
  world.exit("exit code 1", "exit");
  assert.equal(world.calls.at(-1), "start 3 fallback");
  assert.equal(world.supervisor.driver, FALLBACK);
  world.open().complete("write");
  assert.equal(world.supervisor.state, "live");
  assert(
    world.events.some(
      ({ type, reason }) =>
        type === "fallback" && /more than 1 restarts within 60000 ms, the last one: exit code 1/.test(reason),
    ),
  );
  world.supervisor.restart();
  world.link?.complete("flush");
  world.exit("exit code 0", "exit");
  assert.equal(world.calls.at(-1), "start 4");
});

test("a driver that never comes to do anything is given up for the fallback soon, without any budget", () => {
  const world = new World({ openTimeoutMs: 10_000 }, { first: FIRST, fallback: FALLBACK });
  world.open();
  world.exit("exit code 1", "exit");
  for (let attempt = 0; attempt < 2; attempt++) {
    world.clock.advance(11_000);
    world.exit();
  }
  assert.equal(world.supervisor.driver, FALLBACK);
  assert(world.events.some(({ type, reason }) => type === "fallback" && /3 incarnations in a row/.test(reason)));
});

test("past the budget the device is held, and recovery goes on", () => {
  const world = new World({ restartBudget: 1, maxRestartDelayMs: 1000, heldTimeoutMs: 1e9 });
  world.open();
  world.send("read");
  exhaust(world, 1);
  assert.equal(world.supervisor.state, "held");
  assert.deepEqual(world.replies, [ERRNO.EIO]);
  world.open();
  assert.equal(world.supervisor.state, "live");
  world.send("read");
  world.link?.complete("read");
  assert.equal(world.replies.at(-1), 0);
});

test("past the budget the device fails, if that is the policy, until the operator's restart", () => {
  const world = new World({ restartBudget: 1, exhausted: "failed", heldTimeoutMs: 1e9 });
  world.open();
  world.send("write");
  world.link?.complete("write");
  exhaust(world, 1);
  assert.equal(world.supervisor.state, "failed");
  const starts = world.calls.length;
  world.clock.advance(1e6);
  assert.equal(world.calls.length, starts);
  assert.equal(world.supervisor.restart(), true);
  world.open().complete("write");
  assert.equal(world.supervisor.state, "live");
});

test("past the budget nothing is written any more, if that is the policy: reads go on, what is acknowledged stays", () => {
  const world = new World({ restartBudget: 1, exhausted: "read-only", heldTimeoutMs: 1e9 });
  world.open();
  world.send("write", 1);
  world.link?.complete("write");
  world.send("write", 2);
  exhaust(world, 1);
  assert.deepEqual(world.replies, [0, ERRNO.EPERM]);
  const link = world.open();
  assert.deepEqual(link.summary, [], "nothing is replayed");
  assert.equal(world.supervisor.state, "degraded");
  assert.match(world.supervisor.reason ?? "", /read-only/);
  world.send("write", 3);
  world.send("read", 5);
  link.complete("read");
  assert.deepEqual(world.replies, [0, ERRNO.EPERM, ERRNO.EPERM, 0]);
  assert.equal(world.device.shadow.pieces, 1);
  world.send("flush");
  link.complete("flush");
  assert.equal(world.replies.at(-1), ERRNO.EIO, "what was acknowledged is not durable");
  world.supervisor.restart();
  world.exit("exit code 0", "exit");
  world.open().complete("write");
  assert.equal(world.supervisor.state, "live");
  world.send("write", 3);
  world.link?.complete("write");
  assert.equal(world.replies.at(-1), 0);
});

test("who dies of flushes gives way to the fallback driver, whatever the policy is", () => {
  const world = new World({ restartBudget: 100 }, { first: FIRST, fallback: FALLBACK });
  world.open();
  world.send("write", 1);
  world.link?.complete("write");
  world.send("flush");
  for (let death = 0; death < 5 && world.supervisor.driver === FIRST; death++) {
    world.exit("exit code 1", "exit");
    world.clock.advance(1000);
    world.open();
    while (world.link?.pending[0]?.operation === "write") world.link.complete("write");
    world.clock.advance(20);
    const control = world.link?.pending.find(({ operation }) => operation === "read");
    if (control !== undefined) world.link?.complete("read", control.offset);
  }
  assert.equal(world.supervisor.driver, FALLBACK);
  while (world.link?.pending[0]?.operation === "write") world.link.complete("write");
  world.link?.complete("flush");
  assert.deepEqual(world.replies, [0, 0]);
});

test("a request that kills goes to the fallback driver, if that is the policy", () => {
  const world = new World({ poison: "fallback", restartBudget: 100 }, { first: FIRST, fallback: FALLBACK });
  world.open();
  world.send("write", 1);
  for (let death = 0; death < 4; death++) {
    world.exit("exit code 1", "exit");
    world.clock.advance(1000);
    world.open();
    world.clock.advance(20);
    const control = world.link?.pending.find(({ operation }) => operation === "read");
    if (control !== undefined) world.link?.complete("read", control.offset);
  }
  assert.equal(world.supervisor.driver, FALLBACK);
  world.link?.complete("write");
  assert.deepEqual(world.replies, [0]);
});
