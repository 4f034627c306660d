import assert from "node:assert/strict";
import { test } from "node:test";
import { submitted } from "../server/testing.ts";
import { COMMAND } from "../wire/protocol.ts";
import { NbdClient } from "./client.ts";
import { haggleAsServer, KIB, plainAnswers, requestsIn, scripted, served } from "./testing.ts";

test("an aborted request rejects at once, and its late reply is dropped without a trace", async (context) => {
  const place = await served(context);
  const client = await place.connect();
  const { device } = place;
  device.content.fill(9);
  device.held = true;
  const abort = new AbortController();
  const into = new Uint8Array(200 * KIB);
  const sent = submitted(device, 1);
  const read = client.readInto(0, into, { signal: abort.signal });
  await sent;
  abort.abort();
  await assert.rejects(read, { name: "AbortError" });
  device.held = false;
  device.answerAll();
  await client.flush();
  assert(
    into.every((byte) => byte === 0),
    "the caller's memory was written to after the promise had settled",
  );
  await client.readInto(0, into, { signal: new AbortController().signal });
  assert(into.every((byte) => byte === 9));
  await client.close();
});

test("an aborted write leaves the caller's memory to the caller", async (context) => {
  const place = await served(context);
  const client = await place.connect();
  const abort = new AbortController();
  const data = new Uint8Array(512 * KIB).fill(1);
  const write = client.write(0, data, { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(write, { message: "enough" });
  data.fill(2);
  const stored = await client.read(0, data.length);
  assert(
    stored.every((byte) => byte === 1),
    "what was written is what the memory held when it was handed over",
  );
  await client.close();
});

test("a request that is aborted while it waits never reaches the server", async (context) => {
  const place = await served(context);
  const client = await place.connect({ maxRequests: 1 });
  const abort = new AbortController();
  const first = client.read(0, 512);
  const second = client.write(0, new Uint8Array(512), { signal: abort.signal });
  const third = client.read(512, 512);
  abort.abort();
  await assert.rejects(second, { name: "AbortError" });
  await Promise.all([first, third]);
  assert.deepEqual(place.device.log, ["read 0+512", "read 512+512"]);
  await client.close();
});

test("a signal that is aborted already rejects without a request", async (context) => {
  const place = await served(context);
  const client = await place.connect();
  const signal = AbortSignal.abort();
  await assert.rejects(client.flush({ signal }), { name: "AbortError" });
  await assert.rejects(client.read(0, 512, { signal }), { name: "AbortError" });
  assert.deepEqual(place.device.log, []);
  await client.close();
});

test("close does not wait for the replies to aborted requests", async (context) => {
  const sent = Promise.withResolvers<void>();
  const target = await scripted(context, (socket) => {
    haggleAsServer(socket, plainAnswers, (bytes) => {
      for (const { header } of requestsIn(bytes)) {
        if (header.type === COMMAND.DISC) socket.end();
        else sent.resolve();
      }
    });
  });
  const client = await NbdClient.connect(target);
  const abort = new AbortController();
  const read = client.read(0, 512, { signal: abort.signal });
  await sent.promise;
  const closing = client.close();
  abort.abort();
  await assert.rejects(read, { name: "AbortError" });
  await closing;
});

test("one signal may be that of thousands of requests", async (context) => {
  const place = await served(context);
  const client = await place.connect();
  const abort = new AbortController();
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on("warning", warn);
  const reads = Array.from({ length: 2000 }, () => client.read(0, 512, { signal: abort.signal }));
  abort.abort();
  const outcomes = await Promise.allSettled(reads);
  assert(outcomes.every(({ status }) => status === "rejected"));
  await client.flush();
  process.off("warning", warn);
  assert.deepEqual(warnings, []);
  await client.close();
});

test("connecting is aborted in the middle of a handshake, and before it", async (context) => {
  const abort = new AbortController();
  const target = await scripted(context, () => abort.abort());
  await assert.rejects(NbdClient.connect(target, { signal: abort.signal }), { name: "AbortError" });
  await assert.rejects(NbdClient.connect(target, { signal: abort.signal }), { name: "AbortError" });
});

test("a signal that has done its work has no listeners any more", async (context) => {
  const place = await served(context);
  const abort = new AbortController();
  let listeners = 0;
  const { signal } = abort;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...parameters: Parameters<typeof add>) => {
    listeners++;
    add(...parameters);
  };
  signal.removeEventListener = (...parameters: Parameters<typeof remove>) => {
    listeners--;
    remove(...parameters);
  };
  const client = await NbdClient.connect(place.target, { signal });
  await client.read(0, 512, { signal });
  await client.write(0, new Uint8Array(512), { signal });
  assert.equal(listeners, 0);
  abort.abort();
  await client.flush();
  await client.close();
});

test("a server that never answers is given up after the time limit of the handshake", async (context) => {
  const target = await scripted(context, () => {});
  const connecting = NbdClient.connect(target, { timeoutMs: 200 });
  await assert.rejects(connecting, { code: "disconnected", message: /no handshake after 200 ms/ });
  await assert.rejects(NbdClient.list(target, { timeoutMs: 200 }), { code: "disconnected" });
});

test("a connection on which no reply comes is given up after its time limit, and an idle one is not", async (context) => {
  const place = await served(context);
  const idle = await place.connect({ replyTimeoutMs: 250 });
  const client = await place.connect({ replyTimeoutMs: 250 });
  place.device.held = true;
  await assert.rejects(client.read(0, 512), { code: "disconnected", message: /nothing has come for 250 ms/ });
  place.device.held = false;
  place.device.answerAll();
  // It has been idle for longer than that by now.
  await idle.flush();
});
