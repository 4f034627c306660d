import { strict as assert } from "node:assert";
import { test } from "node:test";
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
  world.send("read", 6);
  assert.equal(world.link?.summary[0], "flush");
  world.link?.complete("flush");
  assert.equal(world.link?.summary.length, 16, "blocks are read that the store is to be known by");
  world.completeReads();
  assert.deepEqual(world.calls.slice(1), ["prepare newcomer", "close 1"]);
  world.exit("exit code 0", "exit");
  assert.equal(world.calls.at(-1), "start 2 newcomer");
  world.clock.advance(7);
  world.takeOver();
  assert.deepEqual(world.replies, [0, 0, 0]);
  assert.equal(world.served, 7);
  assert.deepEqual(world.outcomes, []);
  world.clock.advance(1000);
  assert.deepEqual(world.outcomes, [{ outcome: "upgraded", epoch: 2, stallMs: 7 }]);
  assert.equal(world.supervisor.driver, NEWCOMER);
  assert.deepEqual(world.told.slice(-3), ["reaped", "live", "upgraded"]);
  world.exit("exit code 1", "exit");
  assert.equal(world.calls.at(-1), "start 3 newcomer", "it is the device's driver now");
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
    assert.equal(world.outcomes[0]?.outcome, "rolled back", name);
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
