import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { DeviceEvent } from "../supervisor/event.ts";
import { eventLine } from "./event-line.ts";
import { EventLog, MAX_EVENTS, type StreamedEvent } from "./events.ts";

const REAPED: DeviceEvent = { type: "reaped", epoch: 7, driver: "memory", reason: "exit code 1" };
const NOW = AbortSignal.abort();

test("events are numbered over all devices, flat, and dated", () => {
  const log = new EventLog();
  assert.equal(log.add("a", REAPED).seq, 1);
  const { time, ...event } = log.add("b", { ...REAPED, type: "fault", fault: "exit" });
  assert.deepEqual(event, {
    seq: 2,
    device: "b",
    type: "fault",
    fault: "exit",
    epoch: 7,
    driver: "memory",
    reason: "exit code 1",
  });
  assert.equal(new Date(time).toISOString(), time);
});

test("a follower gets what is remembered from a number on, then what comes, until the log ends", async () => {
  const log = new EventLog();
  for (let seq = 1; seq <= 3; seq++) log.add("a", REAPED);
  const follower = log.follow(2, new AbortController().signal);
  assert.deepEqual(await numbers(follower, 2), [2, 3]);
  const next = follower.next();
  log.add("a", REAPED);
  assert.equal(numberOf((await next).value as StreamedEvent), 4);
  const last = follower.next();
  log.add("a", REAPED);
  log.end();
  assert.equal(numberOf((await last).value as StreamedEvent), 5);
  assert.equal((await follower.next()).done, true);
});

test("a follower whose signal is aborted ends, also while it waits", async () => {
  const log = new EventLog();
  log.add("a", REAPED);
  assert.equal((await all(log.follow(1, NOW))).length, 1);
  const gone = new AbortController();
  const waiting = log.follow(2, gone.signal).next();
  gone.abort();
  assert.equal((await waiting).done, true);
});

test("who is further behind than is remembered is told how many events it missed", async () => {
  const log = new EventLog();
  const slow = log.follow(1, new AbortController().signal);
  log.add("a", REAPED);
  assert.deepEqual(await numbers(slow, 1), [1]);
  for (let added = 0; added < MAX_EVENTS + 5; added++) log.add("a", REAPED);
  assert.deepEqual((await slow.next()).value, { type: "missed", count: 5 });
  assert.deepEqual(await numbers(slow, 2), [7, 8]);
  const events = await all(log.follow(1, NOW));
  assert.equal(events.length, 1 + MAX_EVENTS);
  assert.equal(numberOf(events.at(-1) as StreamedEvent), MAX_EVENTS + 6);
});

test("a reason is one line of bounded length, whatever the driver said", () => {
  const log = new EventLog();
  const add = (reason: string): string => log.add("a", { ...REAPED, reason }).reason;
  assert.equal(add("a\nb\u001b[2J\0c"), "a b [2J c");
  assert.ok(add("x".repeat(1 << 20)).length < 3000);
});

test("an event is a line in columns, for people", () => {
  const common = { seq: 1, time: "2026-01-02T17:02:11.204Z", device: "disk", epoch: 7, driver: "memory" };
  const fault = { ...common, type: "fault", fault: "endless-loop", reason: "no sign of life" } as const;
  assert.equal(eventLine(fault, 6), "17:02:11.204  disk    fault      epoch 7  memory  endless-loop: no sign of life");
  const lines: [StreamedEvent, string][] = [
    [{ ...common, type: "restart", delayMs: 0, reason: "at once" }, "at once"],
    [{ ...common, type: "restart", delayMs: 99.5, reason: "it died early" }, "it died early (in 100 ms)"],
    [{ ...common, type: "suspects", count: 3, reason: "3 requests" }, "3 requests"],
    [{ ...common, type: "lie", offset: 8192, length: 512, cure: "read again", reason: "a read" }, "a read"],
    [
      {
        ...common,
        type: "convicted",
        operation: "write",
        offset: 0,
        length: 512,
        acknowledged: false,
        reason: "a write",
      },
      "a write",
    ],
    [{ ...common, type: "live", recovery: undefined, reason: "open" }, "open"],
    [{ ...common, type: "stopped", clean: false, reason: "1 piece" }, "not cleanly: 1 piece"],
    [{ type: "missed", count: 12 }, "… 12 events are missing here"],
  ];
  for (const [event, end] of lines) {
    const line = eventLine(event, 4);
    assert.ok(line.endsWith(event.type === "missed" ? end : `memory  ${end}`), line);
  }
});

async function numbers(follower: AsyncGenerator<StreamedEvent, void>, count: number): Promise<number[]> {
  const found: number[] = [];
  while (found.length < count) found.push(numberOf((await follower.next()).value as StreamedEvent));
  return found;
}

function numberOf(event: StreamedEvent): number {
  assert.ok(event.type !== "missed");
  return event.seq;
}

async function all(stream: AsyncIterable<StreamedEvent>): Promise<StreamedEvent[]> {
  const found: StreamedEvent[] = [];
  for await (const event of stream) found.push(event);
  return found;
}
