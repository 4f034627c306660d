import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ERRNO } from "../block/errors.ts";
import { GEOMETRY, SECTOR } from "../shadow/testing.ts";
import { FIRST, INFO, World } from "./testing.ts";

test("a device is starting, then live, and says so", () => {
  const world = new World();
  assert.equal(world.supervisor.state, "starting");
  world.open();
  assert.equal(world.supervisor.state, "live");
  assert.equal(world.live, 1);
});

test("a first open that fails, ends or takes too long ends the start, and nothing is left running", () => {
  for (const [fail, expected] of [
    [(world: World) => world.supervisor.openFailed(1, "no such file"), /no such file/],
    [(world: World) => world.clock.advance(20_000), /not open after 10000 ms/],
  ] as const) {
    const world = new World();
    fail(world);
    assert.equal(world.startFailure, undefined);
    assert.deepEqual(world.calls, ["start 1", "kill 1"]);
    world.exit();
    assert.match(world.startFailure ?? "", expected);
  }
  const world = new World();
  world.exit("exit code 1");
  assert.match(world.startFailure ?? "", /exit code 1/);
});

test("a recovering device says why", () => {
  const world = new World();
  world.open();
  world.exit("killed by SIGKILL");
  assert.equal(world.supervisor.reason, "killed by SIGKILL");
  world.supervisor.openFailed(2, "no such file");
  assert.equal(world.supervisor.reason, "no such file");
  world.exit();
  world.clock.advance(100);
  world.open();
  assert.equal(world.supervisor.reason, undefined);
});

test("P4: the next incarnation starts only when the one before is reaped", () => {
  const world = new World();
  world.open();
  world.supervisor.fault(1, "unknown-tag", "invalid completion");
  assert.deepEqual(world.calls, ["start 1", "kill 1"]);
  assert.equal(world.supervisor.state, "recovering");
  world.exit();
  assert.deepEqual(world.calls, ["start 1", "kill 1", "start 2"]);
});

test("P4: one that can't be reaped keeps the device held, and events of it are dropped", () => {
  const world = new World({ reapTimeoutMs: 50 });
  const link = world.open();
  world.send("read");
  world.supervisor.kill();
  world.clock.advance(60);
  assert.equal(world.supervisor.state, "held");
  world.supervisor.completed(1, link.pending[0]?.tag as number, 0, SECTOR);
  world.supervisor.fault(1, "doorbell", "again");
  assert.deepEqual(world.calls, ["start 1", "kill 1"]);
  assert.deepEqual(world.replies, [undefined]);
  world.exit();
  world.open().complete("read");
  assert.equal(world.supervisor.state, "live");
  assert.deepEqual(world.replies, [0]);
});

test("an invalid completion is a fault of the driver", () => {
  const world = new World();
  world.open();
  world.supervisor.completed(1, 12345, 0, 0);
  assert.deepEqual(world.calls, ["start 1", "kill 1"]);
  world.exit();
  world.open();
  assert.match(world.supervisor.recoveries[0]?.reason ?? "", /invalid completion: a completion of nothing/);
});

test("restarts are immediate; a delay doubles for those in a row that die before they have done anything", () => {
  const world = new World({ restartDelayMs: 100, maxRestartDelayMs: 300 });
  world.open();
  world.send("read");
  const starts = () => world.calls.filter((call) => call.startsWith("start")).length;
  world.exit();
  assert.equal(starts(), 2);
  world.open();
  world.exit();
  assert.equal(starts(), 3, "the first one is tried again at once");
  for (const delay of [100, 200, 300, 300]) {
    const before = starts();
    world.open();
    world.exit();
    world.clock.advance(delay - 1);
    assert.equal(starts(), before, `no restart before ${delay} ms`);
    world.clock.advance(1);
    assert.equal(starts(), before + 1);
  }
  world.open().complete("read");
  assert.equal(world.supervisor.state, "live");
  const before = starts();
  world.exit();
  assert.equal(starts(), before + 1, "after one that has done something it is immediate again");
});

test("held: after heldTimeoutMs waiting and new requests get EIO, and recovery goes on", () => {
  const world = new World({ heldTimeoutMs: 1000, openTimeoutMs: 100_000 });
  world.open();
  world.send("write", 1);
  world.link?.complete("write");
  world.send("read");
  world.exit();
  world.clock.advance(999);
  assert.deepEqual(world.replies, [0, undefined]);
  world.clock.advance(1);
  assert.equal(world.supervisor.state, "held");
  assert.deepEqual(world.replies, [0, ERRNO.EIO]);
  world.send("flush");
  assert.deepEqual(world.replies, [0, ERRNO.EIO, ERRNO.EIO]);
  assert.equal(world.device.shadow.pieces, 1);
  world.open().complete("write");
  assert.equal(world.supervisor.state, "live");
  world.send("flush");
  world.link?.complete("flush");
  assert.equal(world.replies.at(-1), 0);
});

test("held: what an incarnation had in hand gets EIO when that dies, too, and its memory waits for the reaping", () => {
  for (const end of ["kill", "exit"] as const) {
    const world = new World({ heldTimeoutMs: 1000 });
    world.open();
    world.send("read");
    world.exit();
    world.open();
    world.clock.advance(1000);
    assert.equal(world.supervisor.state, "held");
    assert.deepEqual(world.replies, [undefined], "a living driver may still answer it");
    if (end === "kill") world.supervisor.kill();
    else world.exit();
    assert.deepEqual(world.replies, [ERRNO.EIO]);
    if (end === "kill") world.exit();
    world.clock.advance(1000);
    world.open();
    assert.equal(world.supervisor.state, "live");
    world.send("read");
    world.link?.complete("read");
    assert.equal(world.replies.at(-1), 0);
  }
});

test("another store makes the device failed until the operator restarts it, and pieces stay", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.link?.complete("write");
  world.exit();
  world.open({ ...INFO, identity: "another" });
  world.exit();
  assert.equal(world.supervisor.state, "failed");
  assert.match(world.supervisor.reason ?? "", /identity is another, store was wanted/);
  world.send("read");
  assert.equal(world.replies.at(-1), ERRNO.EIO);
  assert.equal(world.device.shadow.pieces, 1);
  assert.equal(world.supervisor.restart(), true);
  world.open().complete("write");
  assert.equal(world.supervisor.state, "live");
});

test("a planned restart drains, flushes, closes, and opens the next one at once", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.link?.complete("write");
  assert.equal(world.supervisor.restart(), true);
  assert.deepEqual(world.calls, ["start 1"]);
  world.link?.complete("flush");
  assert.deepEqual(world.calls, ["start 1", "close 1"]);
  world.send("read");
  world.exit("exit code 0");
  assert.deepEqual(world.calls, ["start 1", "close 1", "start 2"]);
  world.open();
  assert.deepEqual(world.link?.summary, ["read 0"], "the block made durable before is checked first");
  assert.equal(world.supervisor.state, "recovering");
});

test("a flush that comes while the driver closes for a planned restart is for the next one", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.link?.complete("write");
  world.supervisor.restart();
  world.link?.complete("flush");
  assert.deepEqual(world.calls, ["start 1", "close 1"]);
  world.send("flush");
  assert.deepEqual(world.link?.summary, [], "nothing is called after close");
  world.exit("exit code 0");
  const link = world.open();
  link.complete("read");
  link.complete("flush");
  assert.deepEqual(world.replies, [0, 0]);
  assert.equal(world.supervisor.state, "live");
});

test("a driver that does not close in a planned restart is killed, and nothing is lost", () => {
  const world = new World({ stopTimeoutMs: 100 });
  world.open();
  world.send("write");
  world.supervisor.restart();
  world.clock.advance(100);
  assert.deepEqual(world.calls, ["start 1", "kill 1"]);
  world.exit();
  world.open().complete("write");
  assert.deepEqual(world.replies, [0]);
});

test("a start with what another front has left fails like any other, and nothing of that is given up", () => {
  const store = { geometry: GEOMETRY, epoch: 1, kind: FIRST.kind, identity: "store" };
  const zero = { kind: "zero", mayTrim: false, payload: undefined, start: 0, note: 0 } as const;
  const remains = { store, pieces: [{ ...zero, offset: 0, length: 512 }] };
  const unopened = new World({}, { first: FIRST }, { remains });
  unopened.supervisor.openFailed(1, "Cannot open it: it is not there");
  unopened.exit();
  assert.equal(unopened.startFailure, "Cannot open it: it is not there");

  const another = new World({}, { first: FIRST }, { remains });
  another.open({ ...INFO, identity: "another" });
  another.exit();
  assert.match(another.startFailure ?? "", /comes with another store: identity is another, store was wanted/);
  assert.equal(another.device.shadow.pieces, 1);
});

test("a stop in the first opening waits until what another front has left is durable", () => {
  const store = { geometry: GEOMETRY, epoch: 1, kind: FIRST.kind, identity: "store" };
  const zero = { kind: "zero", mayTrim: false, payload: undefined, start: 0, note: 0 } as const;
  const world = new World({}, { first: FIRST }, { remains: { store, pieces: [{ ...zero, offset: 0, length: 512 }] } });
  world.supervisor.stop();
  assert.equal(world.outcome, undefined);
  world.open();
  world.link?.complete("zero");
  world.link?.complete("flush");
  world.exit("exit code 0", "exit");
  assert.deepEqual(world.outcome, { clean: true, reason: undefined });
});

test("a stop that hands over refuses nobody, and is clean whoever waits", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.link?.complete("write");
  world.supervisor.stop({ handsOver: true });
  world.send("write", 1);
  world.link?.complete("write");
  assert.deepEqual(world.replies, [0, 0], "it serves while the driver flushes what there is");
  world.link?.complete("flush");
  world.send("read");
  assert.deepEqual(world.link?.summary, ["flush"], "what has come meanwhile is flushed, too");
  world.link?.complete("flush");
  world.exit("exit code 0", "exit");
  assert.deepEqual(world.outcome, { clean: true, reason: undefined });
  assert.deepEqual(world.replies, [0, 0, undefined]);
});

test("a driver that dies of the first flush of a stop that hands over is started once more for the replay", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.link?.complete("write");
  world.supervisor.stop({ handsOver: true });
  world.exit();
  assert.deepEqual(world.calls, ["start 1", "start 2"]);
  world.open();
  world.link?.complete("write");
  world.link?.complete("flush");
  assert.equal(world.calls.at(-1), "close 2");
  world.exit("exit code 0", "exit");
  assert.deepEqual(world.outcome, { clean: true, reason: undefined });
});

test("stop drains, flushes and closes, and is clean", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.supervisor.stop();
  assert.equal(world.supervisor.state, "stopping");
  world.send("read");
  assert.equal(world.replies.at(-1), ERRNO.ESHUTDOWN);
  world.link?.complete("write");
  world.link?.complete("flush");
  assert.deepEqual(world.calls, ["start 1", "close 1"]);
  world.exit("exit code 0");
  assert.deepEqual(world.outcome, { clean: true, reason: undefined });
});

test("a driver that dies while stopping, before the last flush, is started once more for the replay", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.link?.complete("write");
  world.supervisor.stop();
  world.exit();
  const link = world.open();
  link.complete("write");
  link.complete("flush");
  world.exit("exit code 0");
  assert.equal(world.outcome?.clean, true);
});

test("a stop that comes while the driver closes for a planned restart leaves nothing that could be released", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.supervisor.restart();
  world.link?.complete("write");
  assert.deepEqual(world.calls, ["start 1", "close 1"]);
  assert.equal(world.device.shadow.pieces, 1);
  world.supervisor.stop();
  world.exit("exit code 0");
  const link = world.open();
  link.complete("write");
  link.complete("flush");
  world.exit("exit code 0");
  assert.deepEqual(world.calls, ["start 1", "close 1", "start 2", "close 2"]);
  assert.deepEqual(world.outcome, { clean: true, reason: undefined });
});

test("a stop with a stuck driver kills it after stopTimeoutMs and says what was not released", () => {
  const world = new World({ stopTimeoutMs: 100 });
  world.open();
  world.send("write");
  world.link?.complete("write");
  world.send("read");
  world.supervisor.stop();
  world.clock.advance(100);
  assert.deepEqual(world.calls, ["start 1", "kill 1"]);
  world.exit();
  assert.equal(world.outcome?.clean, false);
  assert.match(world.outcome?.reason ?? "", /killed; 1 acknowledged pieces .* 1 requests are unanswered/);
});

test("a stop ends, and says so, even if the driver that it killed can't be reaped", () => {
  const world = new World({ stopTimeoutMs: 100, reapTimeoutMs: 50 });
  world.open();
  world.send("read");
  world.supervisor.stop();
  world.clock.advance(149);
  assert.deepEqual([world.calls, world.outcome], [["start 1", "kill 1"], undefined]);
  world.clock.advance(1);
  assert.equal(world.outcome?.clean, false);
  assert.match(world.outcome?.reason ?? "", /the driver is not reaped; 1 requests are unanswered/);
  world.exit();
});

test("a stop does not wait for the end of a delay before a restart", () => {
  for (const pieces of [0, 1]) {
    const world = new World({ restartDelayMs: 60_000, maxRestartDelayMs: 60_000, stopTimeoutMs: 100 });
    world.open();
    if (pieces > 0) {
      world.send("write");
      world.link?.complete("write");
    }
    world.exit();
    world.exit();
    world.exit();
    assert.deepEqual(world.calls, ["start 1", "start 2", "start 3"]);
    world.supervisor.stop();
    if (pieces > 0) {
      const link = world.open();
      link.complete("write");
      link.complete("flush");
      world.exit("exit code 0");
    }
    assert.deepEqual(world.outcome, { clean: true, reason: undefined });
  }
});

test("a stop soon after a flush that failed tries once more", () => {
  const world = new World();
  world.open();
  world.send("write");
  world.link?.complete("write");
  world.send("flush");
  world.link?.complete("flush", undefined, ERRNO.EIO);
  world.link?.complete("write");
  world.supervisor.stop();
  world.link?.complete("flush");
  world.exit("exit code 0", "exit");
  assert.deepEqual(world.outcome, { clean: true, reason: undefined });
});

test("a stop does not wait for a driver to open that nothing is left for", () => {
  const world = new World();
  world.open();
  world.exit();
  world.supervisor.stop();
  assert.deepEqual(world.calls, ["start 1", "start 2", "kill 2"]);
  world.exit();
  assert.deepEqual(world.outcome, { clean: true, reason: undefined });
});

test("each recovery is remembered with its reason and its times", () => {
  const world = new World();
  world.open();
  world.supervisor.kill();
  world.clock.advance(3);
  world.exit();
  world.clock.advance(40);
  world.open();
  assert.deepEqual(world.supervisor.recoveries, [
    { epoch: 2, reason: "killed by the operator", detectMs: 3, openMs: 40, replayMs: 0, totalMs: 43 },
  ]);
  assert.equal(world.supervisor.restarts, 1);
});
