import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import type { Policy } from "./policy.ts";
import { INFO, World } from "./testing.ts";
import type { UpgradeOutcome } from "./upgrade.ts";

const NEWCOMER = { kind: "newcomer" };

/** A live device that is being upgraded. */
class Upgrading extends World {
  readonly outcomes: UpgradeOutcome[] = [];
  served: number | undefined;

  constructor(policy: Partial<Policy> = {}) {
    super({ probationMs: 1000, probationRequests: 10, ...policy });
    this.open();
    this.send("write", 1);
    this.link?.complete("write");
  }

  begin(): boolean {
    return this.supervisor.upgrade(NEWCOMER, {
      serving: (_, stallMs) => {
        this.served = stallMs;
      },
      ended: (outcome) => this.outcomes.push(outcome),
    });
  }

  /** The driver before it drains, flushes, is read to be known by, and closes. */
  handOver(): void {
    this.prepared(undefined);
    this.link?.complete("flush");
    this.completeReads();
    this.exit("exit code 0", "exit");
  }

  /** The newcomer opens, and has what was there. */
  takeOver(): void {
    this.open({ ...INFO, identity: "named otherwise" });
    this.completeReads();
  }

  completeReads(): void {
    while (this.link?.pending.some(({ operation }) => operation === "read")) this.link.complete("read");
  }

  get told(): string[] {
    return this.events.map(({ type }) => type);
  }
}

test("an upgrade makes the newcomer ready, drains, flushes, closes, opens, and has it on probation", () => {
  const world = new Upgrading();
  assert.equal(world.begin(), true);
  assert.deepEqual(world.calls.slice(1), ["prepare newcomer"]);
  world.send("read", 5);
  world.link?.complete("read");
  assert.deepEqual(world.replies, [0, 0], "it serves until the newcomer is ready");
  world.prepared(undefined);
  world.send("write", 6);
  world.link?.complete("write");
  assert.deepEqual(world.replies, [0, 0, 0], "it serves while it flushes what there is");
  world.link?.complete("flush");
  world.send("read", 6);
  assert.deepEqual(world.link?.summary, ["flush"]);
  world.link?.complete("flush");
  assert.equal(world.link?.summary.length, 16, "blocks are read that the store is to be known by");
  world.completeReads();
  assert.deepEqual(world.calls.slice(1), ["prepare newcomer", "close 1"]);
  world.exit("exit code 0", "exit");
  assert.equal(world.calls.at(-1), "start 2 newcomer");
  world.clock.advance(7);
  world.takeOver();
  assert.deepEqual(world.replies, [0, 0, 0, 0]);
  assert.equal(world.served, 7);
  assert.deepEqual(world.outcomes, []);
  world.clock.advance(1000);
  assert.deepEqual(world.outcomes, [{ outcome: "upgraded", epoch: 2, stallMs: 7 }]);
  assert.equal(world.supervisor.driver, NEWCOMER);
  assert.deepEqual(world.told.slice(-3), ["reaped", "live", "upgraded"]);
  world.exit("exit code 1", "exit");
  assert.equal(world.calls.at(-1), "start 3 newcomer", "it is the device's driver now");
});

test("a driver may take longer to flush for an upgrade than the newcomer may take to be ready", () => {
  const world = new Upgrading();
  world.begin();
  world.prepared(undefined);
  world.clock.advance(60_000);
  assert.deepEqual(world.outcomes, []);
  for (let flush = 0; flush < 2; flush++) if (world.link?.summary.includes("flush")) world.link.complete("flush");
  world.completeReads();
  assert.equal(world.calls.at(-1), "close 1");
});

test("a driver that dies while it flushes for an upgrade comes back, and the newcomer is refused", () => {
  const world = new Upgrading();
  world.begin();
  world.prepared(undefined);
  world.exit();
  const reason = "it became recovering meanwhile, with first";
  assert.deepEqual(world.outcomes, [{ outcome: "refused", reason }]);
  assert.deepEqual(world.calls.slice(-2), ["unprepare", "start 2"]);
});

test("so many requests end the probation as well", () => {
  const world = new Upgrading();
  world.begin();
  world.handOver();
  world.takeOver();
  for (let i = 0; i < 10; i++) {
    world.send("read", i);
    world.link?.complete("read");
    world.supervisor.settled(2);
  }
  assert.equal(world.outcomes[0]?.outcome, "upgraded");
});

test("a newcomer that can't be made ready changes nothing", () => {
  const world = new Upgrading();
  world.begin();
  world.prepared("there is no such module");
  assert.deepEqual(world.outcomes, [{ outcome: "refused", reason: "there is no such module" }]);
  assert.equal(world.supervisor.state, "live");
  assert.equal(world.supervisor.epoch, 1);
});

test("a newcomer that is not ready in time changes nothing, and may come too late", () => {
  const world = new Upgrading({ openTimeoutMs: 50 });
  world.begin();
  world.clock.advance(50);
  assert.deepEqual(world.outcomes, [{ outcome: "refused", reason: "newcomer is not ready after 50 ms" }]);
  assert.equal(world.calls.at(-1), "unprepare");
  world.prepared(undefined);
  assert.equal(world.supervisor.state, "live");
  assert.equal(world.begin(), true);
});

test("there is no upgrade during another one, or a recovery", () => {
  const world = new Upgrading();
  assert.equal(world.begin(), true);
  assert.equal(world.begin(), false);
  world.exit();
  world.prepared(undefined);
  assert.equal(world.outcomes[0]?.outcome, "refused");
  assert.equal(world.begin(), false);
});

test("a newcomer that does not open, hangs, dies or is another store is taken back, and nothing is lost", () => {
  const failures: Record<string, (world: Upgrading) => void> = {
    "does not open": (world) => world.supervisor.openFailed(2, "no"),
    "is late": (world) => world.clock.advance(10_000),
    "is another store": (world) => {
      world.open({ ...INFO, geometry: { ...INFO.geometry, size: 512 } });
    },
    dies: (world) => world.takeOver(),
  };
  for (const [name, fail] of Object.entries(failures)) {
    const world = new Upgrading();
    world.begin();
    world.handOver();
    fail(world);
    world.exit("exit code 1", "exit");
    assert.equal(world.calls.at(-1), "start 3", name);
    world.open();
    world.completeReads();
    assert.equal(world.supervisor.state, "live", name);
    const [outcome] = world.outcomes;
    assert(outcome?.outcome === "rolled back" && outcome.served === (name === "dies"), name);
    assert(world.told.includes("rollback"), name);
    world.send("read", 1);
    world.link?.complete("read");
    assert.equal(world.replies.at(-1), 0, name);
  }
});

test("what the newcomer says is durable, it may not be: until it has proved itself it is kept, and replayed on a rollback", () => {
  const world = new Upgrading();
  world.begin();
  world.handOver();
  world.takeOver();
  world.send("write", 2);
  world.link?.complete("write");
  world.send("flush");
  world.link?.complete("flush");
  assert.deepEqual(world.replies, [0, 0, 0]);
  assert.equal(world.device.shadow.pieces, 1);
  world.exit("exit code 1", "exit");
  const link = world.open();
  world.completeReads();
  assert.deepEqual(link.summary, [`write ${2 * 512}`]);
  link.complete("write");
  world.send("flush");
  link.complete("flush");
  assert.equal(world.device.shadow.pieces, 0, "the driver that it was taken back to is believed");
});

test("an error of a newcomer on probation is no client's business: the driver before it is asked again", () => {
  for (const kind of ["read", "write", "flush"] as const) {
    const world = new Upgrading();
    world.begin();
    world.handOver();
    world.takeOver();
    world.send(kind, 3);
    world.link?.complete(kind, undefined, ERRNO.EIO);
    assert.equal(world.replies.at(-1), undefined, kind);
    world.exit();
    assert.equal(world.calls.at(-1), "start 3", kind);
    world.open();
    while (world.replies.at(-1) === undefined) {
      const [first] = world.link?.pending ?? [];
      world.link?.complete(first?.operation ?? "read", first?.offset);
    }
    assert.equal(world.replies.at(-1), 0, kind);
    assert.equal(world.supervisor.faults.errors, 1);
  }
});

test("once it has proved itself, what was flushed is let go", () => {
  const world = new Upgrading();
  world.begin();
  world.handOver();
  world.takeOver();
  world.send("write", 2);
  world.link?.complete("write");
  world.send("flush");
  world.link?.complete("flush");
  assert.equal(world.device.shadow.pieces, 1);
  world.clock.advance(1000);
  assert.equal(world.device.shadow.pieces, 0);
});

test("a larger newcomer makes the device larger only when it has come to stay", () => {
  const geometry = { ...INFO.geometry, size: 2 * INFO.geometry.size };
  for (const isGood of [true, false]) {
    const world = new Upgrading();
    world.begin();
    world.handOver();
    world.open({ ...INFO, geometry });
    world.completeReads();
    assert.equal(world.device.geometry.size, INFO.geometry.size);
    if (isGood) world.clock.advance(1000);
    else world.exit("exit code 1", "exit");
    if (!isGood) {
      world.open();
      world.completeReads();
    }
    assert.equal(world.supervisor.state, "live");
    assert.equal(world.device.geometry.size, isGood ? geometry.size : INFO.geometry.size);
  }
});

test("blocks that are not what they were, as trimmed ones may be, take a newcomer back, and not the driver before it", () => {
  const world = new Upgrading();
  world.begin();
  world.handOver();
  world.open({ ...INFO, identity: "named otherwise" });
  // Those that are known to be durable can't be read; those that were read once can't either.
  while (world.link?.pending.some(({ operation }) => operation === "read")) {
    world.link.complete("read", undefined, ERRNO.EIO);
  }
  world.exit("killed by SIGKILL", "killed");
  assert.equal(world.calls.at(-1), "start 3");
  const link = world.open();
  while (link.pending.some(({ operation }) => operation === "read")) link.complete("read", undefined, ERRNO.EIO);
  assert.equal(world.supervisor.state, "live");
  assert.equal(world.outcomes[0]?.outcome, "rolled back");
});

test("a stop while the driver hands over leaves it with what it has", () => {
  const world = new Upgrading();
  world.begin();
  world.prepared(undefined);
  world.supervisor.stop();
  world.link?.complete("flush");
  world.completeReads();
  world.exit("exit code 0", "exit");
  assert.equal(world.outcome?.clean, true);
  assert(!world.calls.some((call) => call.endsWith("start 2 newcomer")));
});

test("where the operator kills a newcomer past the budget, the driver before it serves again, not the fallback", () => {
  const world = new Upgrading({ restartBudget: 1 });
  world.begin();
  world.handOver();
  world.takeOver();
  for (let kills = 0; kills < 2; kills++) {
    world.supervisor.kill();
    world.exit();
    if (kills === 0) world.takeOver();
  }
  world.open();
  world.completeReads();
  assert.equal(world.calls.at(-1), "start 4");
  assert.equal(world.outcomes[0]?.outcome, "rolled back");
});

test("the operator's kill is no failure of the newcomer", () => {
  const world = new Upgrading();
  world.begin();
  world.handOver();
  world.takeOver();
  world.supervisor.kill();
  world.exit();
  assert.equal(world.calls.at(-1), "start 3 newcomer");
  world.takeOver();
  assert.deepEqual(world.outcomes, []);
});

test("the operator's restart takes back a newcomer on probation", () => {
  const world = new Upgrading();
  world.begin();
  world.handOver();
  world.takeOver();
  world.send("write", 2);
  world.link?.complete("write");
  world.supervisor.restart();
  world.link?.complete("flush");
  world.exit("exit code 0", "exit");
  assert.equal(world.calls.at(-1), "start 3");
  world.open();
  world.completeReads();
  world.link?.complete("write");
  assert.equal(world.supervisor.state, "live");
  assert.equal(world.outcomes[0]?.outcome, "rolled back");
  assert.match(world.supervisor.recoveries.at(-1)?.reason ?? "", /^rolled back: taken back by the operator$/);
});

test("a stop ends an upgrade", () => {
  const world = new Upgrading();
  world.begin();
  world.supervisor.stop();
  world.link?.complete("flush");
  world.exit("exit code 0", "exit");
  assert.equal(world.outcome?.clean, true);
  assert.deepEqual(world.outcomes, [{ outcome: "refused", reason: "it was stopped meanwhile" }]);
});
