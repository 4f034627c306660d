/** The stream of events over a real control socket. */
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, type TestContext, test } from "node:test";
import { SkinkError } from "../block/errors.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import { askFront, eventsOf } from "./control-client.ts";
import { ControlServer } from "./control-server.ts";
import { EventLog, MAX_EVENTS, type StreamedEvent } from "./events.ts";

const FOLLOW = '{"command":"events","follow":true}\n';
const REAPED: DeviceEvent = { type: "reaped", epoch: 7, driver: "memory", reason: "exit code 1" };

const folder = mkdtempSync(join(tmpdir(), "skink-events-"));
after(() => rmSync(folder, { recursive: true }));

test("without follow the remembered events come, and an end", async (t) => {
  const { path, log } = await listen(t);
  log.add("a", REAPED);
  log.add("b", REAPED);
  const events = await all(eventsOf(path, false, new AbortController().signal));
  assert.deepEqual(
    events.map((event) => event.type !== "missed" && event.device),
    ["a", "b"],
  );
});

test("a follower gets events as they come, and ends in order with the front", async (t) => {
  const { path, log, server } = await listen(t);
  const events = eventsOf(path, true, new AbortController().signal);
  for (const device of ["a", "b"]) {
    const next = events.next();
    log.add(device, REAPED);
    assert.equal((await next).value?.type, "reaped");
  }
  const end = events.next();
  await server.close();
  assert.equal((await end).done, true);
});

test("a front that is lost in the middle of a stream is an error", async (t) => {
  const path = join(folder, "lost");
  const server = createServer((socket) => socket.once("data", () => socket.destroy())).listen(path);
  t.after(() => server.close());
  await once(server, "listening");
  const events = eventsOf(path, true, new AbortController().signal);
  await assert.rejects(events.next(), { code: "no-front", message: /closed the connection|ECONNRESET/ });
});

test("a follower that gives up is noticed at once, though there is nothing to send it", async (t) => {
  const { path, following } = await listen(t);
  const over = new AbortController();
  const end = eventsOf(path, true, over.signal).next();
  const signal = await following();
  over.abort();
  assert.equal((await end).done, true);
  await aborted(signal);
});

for (const [how, hangUp] of [
  ["hangs up", (socket: Socket) => socket.destroy()],
  ["ends its side alone", (socket: Socket) => socket.end()],
] as const) {
  test(`a client that ${how} in the middle of a stream is followed no more`, async (t) => {
    const { path, log, following } = await listen(t);
    log.add("a", REAPED);
    const socket = connect({ path });
    socket.write(FOLLOW);
    await once(socket, "data");
    const signal = await following();
    hangUp(socket);
    await aborted(signal);
    socket.destroy();
  });
}

test("another request ends a stream, and is answered behind it", async (t) => {
  const { path, log } = await listen(t);
  log.add("a", REAPED);
  const socket = connect({ path });
  t.after(() => socket.destroy());
  const lines = createInterface(socket)[Symbol.asyncIterator]();
  const reply = async () => JSON.parse((await lines.next()).value as string);
  socket.write(FOLLOW);
  assert.equal((await reply()).more, true);
  socket.write('{"command":"status"}\n');
  assert.deepEqual(await reply(), { ok: true, result: null });
  assert.deepEqual(await reply(), { ok: true, result: { devices: [] } });
  // Also where they came together.
  socket.write(`${FOLLOW}{"command":"status"}\n`);
  assert.equal((await reply()).more, true);
  assert.deepEqual(await reply(), { ok: true, result: null });
  assert.deepEqual(await reply(), { ok: true, result: { devices: [] } });
});

test("a slow reader costs the front nothing, and is told what it missed", async (t) => {
  const { path, log, following } = await listen(t);
  const socket = connect({ path });
  t.after(() => socket.destroy());
  socket.pause();
  socket.write(FOLLOW);
  await following();
  // Many times what sockets hold.
  const added = 20 * MAX_EVENTS;
  for (let count = 0; count < added; count++) {
    log.add("a", { ...REAPED, reason: "x".repeat(1000) });
    if (count % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  let missed = 0;
  let seen = 0;
  for await (const line of createInterface(socket)) {
    const { result } = JSON.parse(line);
    if (result.type === "missed") missed += result.count;
    else seen++;
    if (result.seq === added) break;
  }
  assert.equal(seen + missed, added);
  assert.ok(missed > added / 2, `${missed} missed`);
});

test("a refusal to stream is an error like any other", async (t) => {
  const server = await ControlServer.listen(join(folder, "refusal"), () => {
    throw new SkinkError("wrong-state", "Cannot do that");
  });
  t.after(() => server.close());
  await assert.rejects(eventsOf(server.path, false, new AbortController().signal).next(), { code: "wrong-state" });
});

test("an upgrade brings its outcome back", async (t) => {
  const outcome = { outcome: "upgraded", epoch: 8, stallMs: 6.1 } as const;
  const server = await ControlServer.listen(join(folder, "upgrade"), (request) => {
    assert.deepEqual(request, { command: "upgrade", name: "disk", spec: "./new.ts", base: "/home", wait: true });
    return outcome;
  });
  t.after(() => server.close());
  const request = { command: "upgrade", name: "disk", spec: "./new.ts", base: "/home", wait: true } as const;
  assert.deepEqual(await askFront(server.path, request), outcome);
});

/** A control socket that knows `status` and `events`. `following`: the signal of the first follower. */
async function listen(t: TestContext) {
  const log = new EventLog();
  const first = Promise.withResolvers<AbortSignal>();
  const server = await ControlServer.listen(
    join(folder, t.name.replaceAll(/\W/g, "").slice(0, 30)),
    (request, signal) => {
      if (request.command !== "events") return { devices: [] };
      if (request.follow) first.resolve(signal);
      return log.follow(1, request.follow ? signal : AbortSignal.abort());
    },
  );
  t.after(() => server.close());
  return { path: server.path, log, server, following: () => first.promise };
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}

async function all(stream: AsyncIterable<StreamedEvent>): Promise<StreamedEvent[]> {
  const found: StreamedEvent[] = [];
  for await (const event of stream) found.push(event);
  return found;
}
